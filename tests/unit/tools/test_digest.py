"""What large things of other libraries are, in a few words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from backchannel.tools.digest import digest_of, kind_of
from backchannel.tools.text import shown, text_of


def like(module: str, name: str, **members: Any) -> Any:
    """Return an object of a class as another library would have it."""
    return type(name, (), {"__module__": module, **members})()


def test_a_small_table_is_shown_whole() -> None:
    frame = pd.DataFrame({"city": ["Ulm", "Köln"], "people": [126_000, 1_084_000]})
    text, whole = shown(frame)
    assert whole
    assert text.splitlines() == [
        f"DataFrame, 2 rows, 2 columns: city ({frame.dtypes['city']}), people (int64).",
        "Rows:",
        "city | people",
        "Ulm | 126000",
        "Köln | 1084000",
    ]


def test_a_large_table_is_shape_columns_and_first_rows() -> None:
    frame = pd.DataFrame({f"column {number}": range(100_000) for number in range(100)})
    text, whole = shown(frame)
    assert not whole
    assert text.startswith("DataFrame, 100,000 rows, 100 columns: column 0 (int64), ")
    assert "and 70 more." in text
    assert len(text.splitlines()) == 8
    assert len(text) <= 4000


def test_an_index_that_says_something_is_shown() -> None:
    frame = pd.DataFrame({"error": [0.25]}, index=["sales"])
    assert text_of(frame).endswith("Rows:\n | error\nsales | 0.25")


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame(index=range(3))])
def test_empty_tables_have_words(frame: Any) -> None:
    assert text_of(frame).startswith("DataFrame, ")


def test_columns_of_the_same_name_are_all_there() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert text_of(frame).endswith("a | a\n1 | 2")


def test_a_subclass_of_a_table_is_a_table() -> None:
    class Mine(pd.DataFrame):
        pass

    assert kind_of(Mine()) == "table"


def test_a_column() -> None:
    assert shown(pd.Series([1.5, 2.5], name="error")) == ("Series error, 2 values (float64): 1.5, 2.5", True)
    text, whole = shown(pd.Series(range(1000)))
    assert text.startswith("Series, 1,000 values (int64): 0, 1, ")
    assert text.endswith(", 19, ...")
    assert not whole


def test_a_small_array_is_shown_whole() -> None:
    assert shown(np.array([[1, 2], [3, 4]])) == ("array of shape 2 x 2, int64: [[1, 2], [3, 4]]", True)
    assert shown(np.array(3.5)) == ("array of shape one number, float64: 3.5", True)
    assert shown(np.zeros((0, 3))) == ("array of shape 0 x 3, float64: []", True)


def test_a_large_array_is_its_shape_and_range() -> None:
    assert shown(np.arange(1001.0)) == ("array of shape 1001, float64, from 0 to 1000, mean 500", False)
    assert "from nan to nan" in text_of(np.full(100, np.nan))
    assert text_of(np.array([object()] * 100)) == "array of shape 100, object"
    assert text_of(np.array(["x"] * 100)).startswith("array of shape 100, <U1")


def test_a_number_of_numpy_is_a_number() -> None:
    assert text_of(np.float64(0.5)) == "0.5"


def test_figures_and_images() -> None:
    class Axis:
        def get_title(self) -> str:
            return "Error over time"

    assert text_of(like("matplotlib.figure", "Figure", axes=[Axis()])) == "a figure with 1 plot: Error over time"
    assert text_of(like("plotly.basedatatypes", "BaseFigure")) == "a figure"
    assert shown(PIL.Image.new("RGB", (64, 48))) == ("an image, 64 x 48 pixels", False)


def test_a_library_that_works_otherwise_is_survived() -> None:
    assert text_of(like("pandas.core.frame", "DataFrame")) == "DataFrame (AttributeError when it was looked at)"


def test_another_class_of_the_same_name_is_none() -> None:
    assert digest_of(like("mine", "DataFrame")) is None


def test_a_table_within_plain_data_is_a_digest_too() -> None:
    text, whole = shown({"scores": pd.DataFrame({"a": range(100)}), "best": 3})
    assert "DataFrame, 100 rows, 1 column" in text
    assert '"best": 3' in text
    assert not whole


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        ("short", True),
        ("x" * 5000, False),
        (b"", True),
        (b"12", False),
        (list(range(10)), True),
        (list(range(10_000)), False),
        ({"a": "x" * 5000}, False),
        ({str(number): number for number in range(5000)}, False),
        (None, True),
        (3.5, True),
    ],
)
def test_whether_that_is_all_of_it(value: object, whole: bool) -> None:
    assert shown(value)[1] is whole
