"""Docstrings in the styles that people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.tools.docstring import parse, with_notice

GOOGLE = """Train a model.

    It takes a while.

    Args:
        dataset (str): Which data,
            in full.
        epochs: Passes: how many.
        **options: More.

    Returns:
        scores: The scores.

    Raises:
        ValueError: If not.
    """
NUMPY = """Train a model.

    It takes a while.

    Parameters
    ----------
    dataset : str
        Which data,
        in full.
    epochs : int, optional
        Passes: how many.
    **options
        More.

    Returns
    -------
    scores : list
        The scores.
    """
SPHINX = """Train a model.

    It takes a while.

    :param str dataset: Which data,
        in full.
    :param epochs: Passes: how many.
    :param options: More.
    :type epochs: int
    :returns: The scores.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_each_style_says_the_same(text: str) -> None:
    said = parse(text)
    assert said.description == "Train a model.\n\nIt takes a while."
    assert said.parameters == {"dataset": "Which data, in full.", "epochs": "Passes: how many.", "options": "More."}


def test_a_plain_text_is_the_description() -> None:
    said = parse("Look up: the weather.\n\nNote that it may be late.")
    assert said.description == "Look up: the weather.\n\nNote that it may be late."
    assert said.parameters == {}


def test_names_that_share_a_text_each_get_it() -> None:
    assert parse("Add.\n\nArgs:\n    a, b: A number.").parameters == {"a": "A number.", "b": "A number."}
    assert parse("Add.\n\nParameters\n----------\na, b : int\n    A number.").parameters["b"] == "A number."


def test_a_section_for_people_is_left_out() -> None:
    assert parse("Do it.\n\nExamples:\n    >>> do()\n\nArgs:\n    x: One.").description == "Do it."


@pytest.mark.parametrize("text", [None, "", "\n  \n"])
def test_nothing_says_nothing(text: str | None) -> None:
    assert parse(text).description == ""


@given(st.text(alphabet="Args: Parameters-\n\t x:(),*returns", max_size=200))
def test_any_text_can_be_taken_apart(text: str) -> None:
    said = parse(text)
    assert isinstance(said.description, str)
    assert all(said.parameters.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "Beware."),
        ("Train.", "Train.\n\nBeware."),
        ("Train.\n\n    All.\n\n    Args:\n        a: One.\n", "Train.\n\nAll.\n\nBeware.\n\nArgs:\n    a: One."),
        ("Train.\n\nParameters\n----------\na : int", "Train.\n\nBeware.\n\nParameters\n----------\na : int"),
        ("Train.\n\n:param a: One.", "Train.\n\nBeware.\n\n:param a: One."),
    ],
)
def test_a_notice_stands_between_the_description_and_the_sections(text: str | None, expected: str) -> None:
    assert with_notice(text, "Beware.") == expected
