"""DynamoDB: tools that get an item, and that query for items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

from ..errors import AWSError, ToolArgumentsError, ToolDefinitionError
from ..tasks import AsyncTool, progress
from ..tools.text import text_of
from .access import Access
from .attributes import attribute_of, item_of
from .definition import ToolOptions, define, prefixed
from .run import Run

__all__ = ["dynamodb_get_tool", "dynamodb_query_tool"]

_PAGE = 10_000
_TYPES = {str: "string", int: "integer", float: "number"}


def dynamodb_get_tool(
    table: str,
    key: str | Mapping[str, type] = "id",
    *,
    attributes: Iterable[str] = (),
    consistent: bool = False,
    **options: Unpack[ToolOptions],
) -> AsyncTool:
    """Return a tool that gets one item of a table by its key.

    The item is a dict of plain values: whole numbers as int, others as float, sets as sorted lists.

    Args:
        table: Name or ARN.
        key: Name of the key attribute, or names and types (str, int or float), partition key first.
        attributes: Those to get; all where empty.
        consistent: Also see what was written just now; costs twice as much.

    Raises:
        ToolDefinitionError: If the key or an option cannot be used.
    """
    name = prefixed("get", table)
    keys = _keys(name, key)
    wanted = _projection(attributes)

    def make(access: Access) -> Callable[[dict[str, Any]], Any]:
        def get(arguments: dict[str, Any]) -> dict[str, Any]:
            found = access.call(
                "dynamodb",
                "get_item",
                f"table {table}",
                TableName=table,
                Key={part: _attribute(name, part, arguments[part]) for part in keys},
                ConsistentRead=consistent,
                **wanted,
            )
            if "Item" not in found:
                raise AWSError(
                    f"There is no item with {_said(keys, arguments)} in the table {table}. Check the key; keys are "
                    "compared letter by letter.",
                    code="ItemNotFound",
                )
            return item_of(found["Item"])

        return get

    return define(
        "dynamodb",
        make,
        name=name,
        description=f"Gets one item of the DynamoDB table {table} by its key.",
        input_schema=_schema(keys, list(keys), "of the item"),
        options=options,
        about=table,
    )


def dynamodb_query_tool(
    table: str,
    key: str | Mapping[str, type] = "id",
    *,
    index: str | None = None,
    attributes: Iterable[str] = (),
    max_items: int = 1000,
    **options: Unpack[ToolOptions],
) -> AsyncTool:
    """Return a tool that queries a table for the items of one partition, in the order of their sort key.

    Its value has ``items``, their ``count``, and ``more``: whether there are others. It shows how many it has.

    Args:
        table: Name or ARN.
        key: Name of the partition key, or names and types (str, int or float), partition key first. With a sort key
            the model may also give its range, or how it begins.
        index: A secondary index to query instead; ``key`` is then the index's.
        attributes: Those to get; all where empty.
        max_items: Most items of one call; a model may ask for fewer.

    Raises:
        ToolDefinitionError: If the key or an option cannot be used.
    """
    name = prefixed("query", table)
    keys = _keys(name, key)
    partition, *sort = keys
    if isinstance(max_items, bool) or not isinstance(max_items, int) or max_items < 1:
        raise ToolDefinitionError(f"tool {name!r}: max_items={max_items!r} must be 1 or more")
    schema = _schema(keys, [partition], "of the items")
    properties = schema["properties"]
    extra: dict[str, Any] = {
        "newest_first": {"type": "boolean", "default": False, "description": "Last in sort order first."},
        "limit": {
            "type": "integer",
            "minimum": 1,
            "maximum": max_items,
            "default": max_items,
            "description": "Most items to return.",
        },
    }
    for part in sort:
        kind = _TYPES[keys[part]]
        extra[f"{part}_from"] = {"type": kind, "description": f"Lowest {part}, inclusive."}
        extra[f"{part}_to"] = {"type": kind, "description": f"Highest {part}, inclusive."}
        if kind == "string":
            extra[f"{part}_begins_with"] = {"type": kind, "description": f"How the {part} begins."}
    if set(extra) & set(properties):
        raise ToolDefinitionError(f"tool {name!r}: a key cannot be called {sorted(set(extra) & set(properties))[0]!r}")
    schema["properties"] = {**properties, **extra}
    projection = _projection(attributes)

    def make(access: Access) -> Callable[[dict[str, Any]], Any]:
        def query(arguments: dict[str, Any]) -> dict[str, Any]:
            run = Run()
            condition = _condition(name, partition, sort[0] if sort else None, arguments)
            names = condition.pop("ExpressionAttributeNames") | projection.get("ExpressionAttributeNames", {})
            request = {
                "TableName": table,
                **projection,
                **condition,
                "ExpressionAttributeNames": names,
                "ScanIndexForward": not arguments.get("newest_first"),
                **({"IndexName": index} if index else {}),
            }
            limit = arguments.get("limit") or max_items
            items: list[dict[str, Any]] = []
            while True:
                page = access.call(
                    "dynamodb", "query", f"table {table}", **request, Limit=min(limit - len(items) + 1, _PAGE)
                )
                items += map(item_of, page.get("Items", ()))
                progress(min(len(items), limit), message="items read")
                if len(items) > limit or "LastEvaluatedKey" not in page:
                    more = len(items) > limit
                    return {"items": items[:limit], "count": min(len(items), limit), "more": more}
                request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
                run.check()

        return query

    where = f"the index {index} of the DynamoDB table {table}" if index else f"the DynamoDB table {table}"
    return define(
        "dynamodb",
        make,
        name=name,
        description=f"Finds the items of {where} that have a given {partition}.",
        input_schema=schema,
        options=options,
        about=table,
    )


def _keys(tool: str, key: str | Mapping[str, type]) -> dict[str, type]:
    keys: dict[str, type] = {key: str} if isinstance(key, str) else dict(key)
    wrong = [part for part, kind in keys.items() if kind not in _TYPES or not part]
    if wrong or not 1 <= len(keys) <= 2:
        raise ToolDefinitionError(
            f"tool {tool!r}: key={key!r:.200} must name one or two attributes, with the types str, int or float, as in "
            'key={"customer": str, "year": int}'
        )
    return keys


def _schema(keys: Mapping[str, type], required: list[str], of: str) -> dict[str, Any]:
    properties = {part: {"type": _TYPES[kind], "description": f"The {part} {of}."} for part, kind in keys.items()}
    return {"type": "object", "properties": properties, "required": required}


def _projection(attributes: Iterable[str]) -> dict[str, Any]:
    wanted = [attributes] if isinstance(attributes, str) else list(attributes)
    if not wanted:
        return {}
    places = {f"#a{number}": attribute for number, attribute in enumerate(wanted)}
    return {"ProjectionExpression": ", ".join(places), "ExpressionAttributeNames": places}


def _condition(tool: str, partition: str, sort: str | None, arguments: Mapping[str, Any]) -> dict[str, Any]:
    expression = "#p = :p"
    names = {"#p": partition}
    values = {":p": _attribute(tool, partition, arguments[partition])}
    if sort is not None:
        given = {
            what: _attribute(tool, argument, arguments[argument])
            for what, argument in (
                ("is", sort),
                ("from", f"{sort}_from"),
                ("to", f"{sort}_to"),
                ("begins", f"{sort}_begins_with"),
            )
            if arguments.get(argument) is not None
        }
        forms = {
            ("is",): "#s = :is",
            ("from",): "#s >= :from",
            ("to",): "#s <= :to",
            ("from", "to"): "#s BETWEEN :from AND :to",
            ("begins",): "begins_with(#s, :begins)",
        }
        if given and tuple(given) not in forms:
            raise ToolArgumentsError(
                f"The arguments do not fit the tool {tool!r}. Give {sort}, or {sort}_from and {sort}_to, or "
                f"{sort}_begins_with: one of these only."
            )
        if given:
            expression += f" AND {forms[tuple(given)]}"
            names["#s"] = sort
            values |= {f":{what}": value for what, value in given.items()}
    return {
        "KeyConditionExpression": expression,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def _attribute(tool: str, name: str, value: Any) -> dict[str, Any]:
    try:
        return attribute_of(value)
    except ValueError as error:
        raise ToolArgumentsError(f"The arguments do not fit the tool {tool!r}. {name}: {error}.") from None


def _said(keys: Iterable[str], arguments: Mapping[str, Any]) -> str:
    return " and ".join(f"{part} {text_of(arguments[part], 200)!r}" for part in keys)
