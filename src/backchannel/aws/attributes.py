"""DynamoDB's attribute values, to and from plain Python. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

__all__ = ["attribute_of", "item_of", "number_of", "value_of"]

_EXACT = Decimal("1e38")


def number_of(text: str) -> int | float:
    """Return a number: an int where it is a whole one of up to 38 digits, otherwise the nearest float."""
    number = Decimal(text)
    if number == number.to_integral_value() and abs(number) < _EXACT:
        return int(number)
    return float(number)


def value_of(attribute: Mapping[str, Any]) -> Any:
    """Return an attribute's value as plain Python; a set becomes a sorted list.

    Raises:
        ValueError: If it is of no known type.
    """
    ((kind, value),) = attribute.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "B":
            return bytes(value)
        case "N":
            return number_of(value)
        case "NULL":
            return None
        case "M":
            return item_of(value)
        case "L":
            return [value_of(item) for item in value]
        case "SS":
            return sorted(value)
        case "NS":
            return sorted(map(number_of, value))
        case "BS":
            return sorted(map(bytes, value))
    raise ValueError(f"DynamoDB sent an attribute of the unknown type {kind!r}")


def item_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item, or a map, as a dict."""
    return {name: value_of(attribute) for name, attribute in attributes.items()}


def attribute_of(value: object) -> dict[str, Any]:
    """Return the attribute for a key's value.

    Raises:
        ValueError: If it is neither text, nor bytes, nor a finite number.
    """
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bytes):
        return {"B": value}
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return {"N": str(value)}
    raise ValueError(f"a key is text, bytes or a number, not {value!r:.100}")
