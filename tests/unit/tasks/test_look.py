"""Parts of a value as bounded text."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.tasks import AsyncToolManager, look_at_result_tool
from backchannel.tasks.look import LOOK_LIMIT, look


@dataclasses.dataclass
class Fit:
    error: float
    names: list[str]

    @property
    def trap(self) -> None:
        raise AssertionError("was run")


FRAME = pd.DataFrame({"city": [f"city {number}" for number in range(100)], "people": range(100)})


def test_the_first_items() -> None:
    assert look(list(range(100)), count=2) == "Items 0 to 1 of 100, counted from 0:\n0\n1"
    assert look([1, 2]) == "1\n2"
    assert look({"a": 1, "b": [2]}) == "a: 1\nb: [2]"
    assert look(FRAME, count=1) == "Rows 0 to 0 of 100, counted from 0:\ncity | people\ncity 0 | 0"
    assert look(np.arange(6).reshape(3, 2), count=1) == "Entries 0 to 0 of 3, counted from 0:\n[[0, 1]]"
    assert look("one\ntwo\nthree", count=2) == "Lines 0 to 1 of 3, counted from 0:\none\ntwo"
    assert look(b"\x00\xff") == "00 ff"
    assert look(3.5) == "3.5"
    assert look(None) == "no result"


def test_items_from_a_place_on() -> None:
    assert look(list("abcdef"), "slice", start=2, count=2) == "Items 2 to 3 of 6, counted from 0:\nc\nd"
    assert look(list("abcdef"), "slice", start=-1) == "Items 5 to 5 of 6, counted from 0:\nf"
    assert look(list("abc"), "slice", start=99) == "There are 3 items; none from 3 on."
    assert look([], "slice", start=-5) == "There are 0 items; none from 0 on."
    assert look(FRAME["people"], "slice", start=97) == "Values 97 to 99 of 100, counted from 0:\n97, 98, 99"
    assert look("x" * 1000, "slice", start=1, count=1).startswith("Characters 200 to 399 of 1,000")


def test_a_part_is_looked_at_by_its_name() -> None:
    value = {"rows": [{"name": "Ulm"}], "a.b": 1, 3: "three"}
    assert look(value, key="rows.0.name") == "Ulm"
    assert look(value, key="a.b") == "1"
    assert look(value, key="3") == "three"
    assert look(FRAME, key="people", count=1).endswith("\n0")
    assert look(Fit(0.5, ["x"]), key="names.0") == "x"
    assert look(value, key="rows.7") == "There is no '7'. It has 1 items."
    assert look(value, key="no") == "There is no 'no'. There are: rows, a.b, 3."


def test_properties_and_methods_are_no_parts() -> None:
    assert look(Fit(0.5, []), key="trap") == "There is no 'trap'. There are: error, names."
    assert look("text", key="__class__") == "There is no '__class__'. It has no parts."
    assert look(FRAME, key="to_csv").startswith("There is no 'to_csv'. There are: city, people.")


def test_a_description() -> None:
    assert look([1, 2, "a"], "describe") == "list, 3 items: 2 int, 1 str. From 1 to 2, mean 1.5."
    assert look({"a": 1, "b": [1, 2]}, "describe") == "dict, 2 entries: a (int), b (list of 2)"
    assert look("a\nb", "describe") == "Text, 3 characters, 2 lines."
    assert "mean | 49.5" in look(FRAME, "describe")
    assert "max | 99" in look(FRAME["people"], "describe")
    assert look(np.arange(100.0), "describe") == "array of shape 100, float64, from 0 to 99, mean 49.5"
    assert look(pd.DataFrame(), "describe").startswith("DataFrame, 0 rows")


def test_the_names_of_its_parts() -> None:
    assert look(FRAME, "keys") == "city, people"
    assert look({"a": 1}, "keys") == "a"
    assert look([1, 2], "keys") == "It has 2 items, by number."
    assert look(3, "keys") == "It has no named parts."
    assert look({str(number): 0 for number in range(1000)}, "keys").endswith("and 900 more")


def test_a_search() -> None:
    assert look(FRAME, "search", text="CITY 42") == "row 42: city 42 | 42"
    assert look("one\nTwo\nthree", "search", text="two") == "line 1: Two"
    assert look({"a": "find me", "b": 1}, "search", text="find") == "a: a find me"
    assert look(["x"] * 20, "search", text="x", count=2) == "item 0: x\nitem 1: x\nThere is more."
    assert look(["x"], "search", text="y") == "'y' was not found."
    assert look([0] * 100_001, "search", text="y") == "'y' was not found among the first 100,000."
    assert look([1], "search") == "Say in 'text' what to search for."
    assert look("a" * 1000 + "needle" + "b" * 1000, "search", text="needle").count("...") == 2


def test_an_index_with_names_is_shown() -> None:
    frame = pd.DataFrame({"error": [1, 2]}, index=["sales", "stock"])
    assert look(frame, "search", text="stock") == "row 1: stock | 2"


def test_a_value_that_raises_is_survived() -> None:
    class Odd(list[Any]):
        def __iter__(self) -> Any:
            raise ZeroDivisionError("odd")

    assert look(Odd([1])) == "That cannot be looked at (ZeroDivisionError: odd)."


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=500) | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=50), inner, max_size=20),
)


@given(
    VALUES,
    st.sampled_from(["head", "describe", "slice", "keys", "search"]),
    st.text(max_size=5),
    st.integers(),
    st.integers(),
    st.text(max_size=3),
)
def test_any_look_at_anything_is_bounded(value: Any, action: Any, key: str, start: int, count: int, text: str) -> None:
    said = look(value, action, key=key, start=start, count=count, text=text)
    assert 0 < len(said) <= LOOK_LIMIT


async def test_the_tool_finds_the_task_by_number_and_by_id() -> None:
    manager = AsyncToolManager()
    tool = look_at_result_tool(lambda: [manager])
    done = manager.start("train", lambda: list(range(100)), {})
    await done
    failed = manager.start("fit", lambda: {}["x"], {})
    await failed.ended()

    async def ask(**arguments: Any) -> str:
        use: Any = {"toolUseId": "1", "name": "look_at_result", "input": arguments}
        events = [event async for event in tool.stream(use, {})]
        return str(events[-1]["tool_result"]["content"][0]["text"])

    assert await ask(task=1, count=1) == "Items 0 to 0 of 100, counted from 0:\n0"
    assert await ask(task=done.id, action="slice", start=99) == "Items 99 to 99 of 100, counted from 0:\n99"
    assert (await ask(task="two")).startswith("There is no result to look into. Task 2, fit, failed")
    assert (await ask(task=9)).startswith("There is no task 9.")


@pytest.mark.parametrize("count", [-1, 0, 1, 10**9])
def test_counts_are_kept_in_bounds(count: int) -> None:
    assert len(look(list(range(1000)), count=count).splitlines()) <= 51
