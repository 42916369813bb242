"""Tasks in words."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.tasks.wording import duration, label_of, percent, words


class Colour(enum.Enum):
    RED = "deep red"


@pytest.mark.parametrize(
    ("tool", "arguments", "label"),
    [
        ("research", {"topic": "solar power"}, "research solar power"),
        ("train_model", {"dataset": "sales", "epochs": 50}, "train model sales epochs 50"),
        ("train", {"fast": True, "slow": False, "note": None}, "train fast"),
        ("paint", {"colour": Colour.RED}, "paint deep red"),
        ("sum_up", {"values": [1, 2, 3]}, "sum up 1, 2, 3"),
        ("sum_up", {"values": list(range(100))}, "sum up 100 values"),
        ("run", {}, "run"),
        ("write", {"text": "first line\nsecond line"}, "write first line..."),
    ],
)
def test_a_run_is_called_by_its_tool_and_its_arguments(tool: str, arguments: dict[str, Any], label: str) -> None:
    assert label_of(tool, arguments) == label


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "less than a second"),
        (1.2, "1 second"),
        (12.4, "12 seconds"),
        (99.4, "99 seconds"),
        (120, "2 minutes"),
        (3600 * 1.75, "1 hour 45 minutes"),
        (7200, "2 hours"),
        (86400 * 3, "3 days"),
    ],
)
def test_a_time_span_is_said_as_one_says_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_hundred_percent_is_all_of_it() -> None:
    assert percent(0.35) == "35 percent"
    assert percent(0.999) == "99 percent"
    assert percent(1.0) == "100 percent"


def test_a_name_is_said_in_words() -> None:
    assert words("research_topic-now") == "research topic now"


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.lists(st.text())))
def test_a_label_is_one_short_line(tool: str, arguments: dict[str, Any]) -> None:
    label = label_of(tool, arguments)
    assert len(label) <= 80
    assert "\n" not in label


class Level(enum.Enum):
    TOP = 10**5000


@pytest.mark.parametrize("value", [10**5000, -(10**5000), Level.TOP, [10**5000], "caf\udce9.csv", ["\ud83d"]], ids=type)
def test_a_label_can_be_written_whatever_the_value_is(value: Any) -> None:
    label = label_of("factor", {"n": value})
    assert label.startswith("factor ")
    assert len(label.encode().decode()) <= 80
