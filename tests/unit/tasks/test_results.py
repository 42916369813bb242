"""What a model is told of a value, and whether it is what was declared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Annotated, Any, Literal, NewType, TypedDict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import ToolDefinitionError
from backchannel.tasks import AsyncToolManager, Task, async_tool
from backchannel.tasks.results import answer_of, misfit, told

UserId = NewType("UserId", int)


class Scores(TypedDict):
    error: float


def run(body: Callable[[], Any], **options: Any) -> Task:
    with AsyncToolManager() as manager:
        task: Task = async_tool(manager, **options)(body)()
        assert task.wait(10)
    return task


def kept_in(task: Task) -> str:
    return f" (This is not all of it: task {task.number}, id {task.id}, keeps the whole result.)"


def test_a_value_that_fits_is_told_whole() -> None:
    def work() -> dict[str, float]:
        """Work."""
        return {"error": 0.5}

    task = run(work)
    assert task.finished_fact().text == '{"error": 0.5}'
    assert answer_of(task) is task.value
    assert task.logs == []


def test_what_is_left_out_is_said_with_where_it_is() -> None:
    def work() -> list[int]:
        """Work."""
        return list(range(100_000))

    task = run(work)
    text = task.finished_fact().text
    assert text.endswith(kept_in(task))
    assert len(text) <= 4000
    assert answer_of(task) == text
    assert task.value == list(range(100_000))


def test_a_table_is_told_by_its_first_rows() -> None:
    def work() -> pd.DataFrame:
        """Work."""
        return pd.DataFrame({"a": range(50)})

    task = run(work)
    assert task.finished_fact().text.startswith("DataFrame, 50 rows, 1 column: a (int64).")
    assert task.finished_fact().text.endswith(kept_in(task))
    assert task.summary(20) == task.summary()[:20]
    assert len(task.value) == 50


def test_summarize_says_what_is_told() -> None:
    def work() -> dict[str, int]:
        """Work."""
        return {"rows": 12}

    task = run(work, summarize=lambda value: f"{value['rows']} rows were written")
    assert task.finished_fact().text == f"12 rows were written{kept_in(task)}"
    assert task.snapshot()["text"] == "12 rows were written"
    assert task.value == {"rows": 12}


def test_a_summary_may_be_plain_data_and_is_bounded() -> None:
    def work() -> str:
        """Work."""
        return "x"

    assert run(work, summarize=lambda value: {"letters": len(value)}).summary() == '{"letters": 1}'
    assert len(told(run(work, summarize=lambda value: value * 100_000))) <= 4000


def test_a_summary_that_fails_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> str:
        """Work."""
        return "the result"

    task = run(work, summarize=lambda value: value["no"])
    assert task.finished_fact().text == "the result"
    assert "WARNING the summary of work failed: TypeError" in task.logs[0]
    assert "summarize of work" in caplog.text


def test_summarize_must_be_a_function() -> None:
    def work() -> None:
        """Work."""

    decorate = async_tool(summarize="short")  # type: ignore[arg-type]
    with pytest.raises(ToolDefinitionError, match="summarize="):
        decorate(work)


def test_a_value_of_another_type_is_kept_and_marked() -> None:
    def work() -> float:
        """Work."""
        return "a lot"  # type: ignore[return-value]

    task = run(work)
    assert (task.status, task.value) == ("done", "a lot")
    assert task.logs == ["WARNING work returned str where float is declared"]
    assert task.finished_fact().text == "a lot (Beware: the tool returned str where float is declared.)"
    assert task.summary() == "a lot"


def test_failures_are_told_as_they_are() -> None:
    def work() -> float:
        """Work."""
        raise LookupError("gone")

    assert told(run(work)) == "LookupError: gone"


async def test_a_models_quick_call_gets_the_summary() -> None:
    async def work() -> list[int]:
        """Work."""
        return [1, 2, 3]

    tool = async_tool(AsyncToolManager(), summarize=lambda value: f"{len(value)} numbers", grace_s=10)(work)
    events = [event async for event in tool.stream({"toolUseId": "1", "name": "work", "input": {}}, {})]
    assert events[-1]["tool_result"]["content"][0]["text"].startswith("3 numbers (This is not all of it: task 1")


def test_a_deferred_value_is_summarized_when_it_comes() -> None:
    with AsyncToolManager() as manager:

        def work() -> None:
            """Work."""

        task = async_tool(manager, deferred=True, summarize=lambda value: f"{len(value)} letters")(work)()
        assert manager.resolve(task, "abc")
        assert task.summary() == "3 letters"


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (3, int),
        (3, float),
        (np.int64(3), int),
        (np.float32(3), float),
        (np.bool_(True), bool),
        (None, None),
        (None, int | None),
        (3, str | int),
        ("a", Literal["a", "b"]),
        ([1, 2], list[int]),
        ((1, "a"), tuple[int, str]),
        ((1, 2, 3), tuple[int, ...]),
        ({"a": 1}, dict[str, int]),
        ({"error": 0.5}, Scores),
        (3, UserId),
        (3, Annotated[int, "rows"]),
        ("last", Iterator[str]),
        (7, Generator[str, None, int]),
        ("last", AsyncIterator[str]),
        (3, Any),
        (3, "no.such.type"),
        (3, object),
        (pd.DataFrame(), pd.DataFrame),
    ],
)
def test_what_fits(value: Any, hint: Any) -> None:
    assert misfit(value, hint) == ""


@pytest.mark.parametrize(
    ("value", "hint", "said"),
    [
        ("3", int, "returned str where int is declared"),
        (1, bool, "returned int where bool is declared"),
        (3, None, "returned int where None is declared"),
        ([1, "a"], list[int], "returned list where list[int] is declared"),
        ({"a": "b"}, dict[str, int], "returned dict where dict[str, int] is declared"),
        ((1,), tuple[int, str], "returned tuple where tuple[int, str] is declared"),
        (1, Literal["a"], "returned int where typing.Literal['a'] is declared"),
        (None, pd.DataFrame, "returned NoneType where DataFrame is declared"),
        (3, Scores, "returned int where Scores is declared"),
    ],
)
def test_what_does_not_fit(value: Any, hint: Any, said: str) -> None:
    assert misfit(value, hint) == said


def test_a_class_that_raises_when_it_is_asked_fits() -> None:
    class Meta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            raise ZeroDivisionError

    class Odd(metaclass=Meta):
        pass

    assert misfit(3, Odd) == ""


@given(st.one_of(st.text(max_size=9000), st.lists(st.text(max_size=300), max_size=60), st.binary(max_size=50)))
def test_what_is_told_is_bounded(value: Any) -> None:
    def work() -> int:
        """Work."""
        return value  # type: ignore[no-any-return]

    assert len(told(run(work))) <= 4000


def test_a_completed_result_has_the_same_text() -> None:
    results: list[Any] = []

    def work() -> list[int]:
        """Work."""
        return [1, 2, 3]

    with AsyncToolManager(on_complete=results.append) as manager:
        task = async_tool(manager, summarize=lambda value: f"{len(value)} numbers")(work)()
    (result,) = results
    assert result.result == [1, 2, 3]
    assert result.text() == f"3 numbers (This is not all of it: task {task.id} keeps the whole result.)"
