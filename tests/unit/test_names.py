"""docs/reference.md and the code name the same things, at the same places, made in the same way."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import typing
from pathlib import Path
from typing import Any

import pytest

from backchannel import errors, events, hooks
from tests.support.event_table import INPUTS, OUTPUTS, WITHOUT_TYPE

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"

HANDED_OUT = {"LedgerReading", "Task", "TaskRecord"}
"""Classes that nobody constructs: the page does not say how."""


def sections() -> dict[str, str]:
    parts = re.split(r"(?m)^## `([\w.]+)`$", PAGE.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first heading this is, cell by cell."""
    (table,) = re.findall(rf"(?m)^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]


def ticked(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


SECTIONS = sections()
NAMES = [
    (module, *re.fullmatch(r"`(\w+)(?:\((.*)\))?`", cells[0]).groups(), cells[1])  # type: ignore[union-attr]
    for module, text in SECTIONS.items()
    for cells in rows(text, "name")
]


def parameter(found: inspect.Parameter) -> str:
    stars = {found.VAR_POSITIONAL: "*", found.VAR_KEYWORD: "**"}.get(found.kind, "")
    if found.default is found.empty:
        return stars + found.name
    plain = found.default is None or isinstance(found.default, bool | int | float | str)
    return f"{found.name}={found.default!r}" if plain else f"{found.name}=..."


def how_it_is_made(value: Any) -> str | None:
    """The parameters as the page writes them; None for what is not made or called."""
    if typing.is_typeddict(value):
        return ", ".join(value.__annotations__)
    if inspect.isclass(value):
        ours = str(getattr(value.__init__, "__module__", "")).startswith("backchannel")
        if getattr(value, "_is_protocol", False) or not ours:
            return None
    elif not inspect.isroutine(value):
        return None
    written: list[str] = []
    for found in inspect.signature(value).parameters.values():
        if found.kind is found.KEYWORD_ONLY and not any(part.startswith("*") for part in written):
            written.append("*")
        if not found.name.startswith("_"):
            written.append(parameter(found))
    return ", ".join(written)


def test_the_page_has_every_module_once_and_every_name_once():
    assert list(SECTIONS) == list(dict.fromkeys(SECTIONS))
    assert len(SECTIONS) >= 13
    assert len(NAMES) > 150
    assert len({(module, name) for module, name, _, _ in NAMES}) == len(NAMES)


@pytest.mark.parametrize(("module", "name", "made", "said"), NAMES, ids=[f"{row[0]}.{row[1]}" for row in NAMES])
def test_a_name_of_the_page_is_there_and_made_as_it_says(module, name, made, said):
    place = importlib.import_module(module)
    assert name in place.__all__
    value = getattr(place, name)
    home = re.fullmatch(r"of `([\w.]+)`", said)
    if home:
        assert getattr(importlib.import_module(home[1]), name) is value
        assert made is None
    elif name not in HANDED_OUT:
        assert made == how_it_is_made(value), f"docs/reference.md: `{name}({how_it_is_made(value)})`"


@pytest.mark.parametrize("module", sorted(SECTIONS))
def test_every_public_name_of_a_module_is_on_the_page(module):
    there = {name for place, name, _, _ in NAMES if place == module}
    missing = set(importlib.import_module(module).__all__) - there
    assert not missing, f"add to docs/reference.md, under {module}: {', '.join(sorted(missing))}"


def test_the_tables_of_events_say_what_the_classes_do():
    text = SECTIONS["backchannel.events"]
    fields: dict[str, set[str]] = {}
    kinds: dict[str, str] = {}
    for make, _, keys in [*INPUTS, *OUTPUTS, *WITHOUT_TYPE]:
        kinds[make.__name__] = keys.get("type", "none")  # type: ignore[attr-defined]
        fields.setdefault(make.__name__, set()).update(set(keys) - {"type"})  # type: ignore[attr-defined]
    tables = re.split(r"(?m)^### .* events$", text)[1:]
    written = [cells for table in tables for cells in rows(table, "type")]
    assert {ticked(cells[1])[0]: cells[0].strip("`") for cells in written} == kinds
    assert {ticked(cells[1])[0]: set(ticked(cells[2])) for cells in written} == fields


def test_the_table_of_hook_events_says_what_the_classes_do():
    written = rows(SECTIONS["backchannel.hooks"], "class")
    classes = {
        name: value
        for name in hooks.__all__
        if inspect.isclass(value := getattr(hooks, name))
        and issubclass(value, hooks.BaseHookEvent)
        and name not in ("BaseHookEvent", "HookEvent", "BidiHookEvent")
    }
    assert {ticked(cells[0])[0] for cells in written} == set(classes)
    for cells in written:
        event = classes[ticked(cells[0])[0]]
        names = [found.name for found in dataclasses.fields(event) if found.name != "agent"]
        assert ticked(cells[1]) == names
        assert set(re.findall(r"`(\w+)`\\\*", cells[1])) == event._writable
        assert cells[2] == ("reversed" if event._reversed else "as added")


def test_the_deprecated_names_warn_and_mean_the_new_ones():
    written = rows(SECTIONS["backchannel.hooks"], "old name")
    assert len(written) == len(hooks._DEPRECATED_ALIASES) == 4
    for old, new in written:
        with pytest.warns(DeprecationWarning, match=ticked(new)[0]):
            assert getattr(hooks, ticked(old)[0]) is getattr(hooks, ticked(new)[0])


def test_every_error_is_in_the_tree_of_its_module():
    drawn = set(re.findall(r"\w+Error\b", errors.__doc__ or ""))
    assert set(errors.__all__) - drawn == set()


def test_all_events_are_named_in_one_module():
    def below(kind: type) -> set[type]:
        return {kind}.union(*(below(found) for found in kind.__subclasses__()))

    ours = {kind for kind in below(events.TypedEvent) if kind.__module__.startswith("backchannel.")}
    assert {kind.__name__ for kind in ours} - {"AudioEvent"} <= set(events.__all__)
