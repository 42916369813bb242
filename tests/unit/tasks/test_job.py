"""Which functions are asynchronous."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from backchannel.tasks import AsyncToolManager, Progress, Task, async_tool
from backchannel.tasks.job import is_asynchronous

WAIT = 10.0


async def coroutine() -> None: ...


async def asynchronous_generator() -> AsyncIterator[int]:
    yield 1


def generator() -> Iterator[int]:
    yield 1


class Callers:
    async def method(self) -> None: ...

    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "asynchronous"),
    [
        (coroutine, True),
        (asynchronous_generator, True),
        (functools.partial(coroutine), True),
        (Callers().method, True),
        (Callers(), True),
        (generator, False),
        (print, False),
        (functools.partial(print), False),
        (lambda: coroutine(), False),
    ],
)
def test_a_function_is_known_by_what_calling_it_gives(function: Callable[..., Any], asynchronous: bool) -> None:
    assert is_asynchronous(function) is asynchronous


@pytest.fixture
def manager() -> Iterator[AsyncToolManager]:
    made = AsyncToolManager()
    yield made
    made.shutdown(cancel=True)


def reports_of(manager: AsyncToolManager, values: list[Any], asynchronous: bool = False) -> tuple[Task, list[Any]]:
    """Run a generator of these values; returns its task and what it reported."""

    def generate() -> Iterator[Any]:
        yield from values

    async def generate_later() -> AsyncIterator[Any]:
        for value in values:
            yield value

    heard: list[Any] = []
    forget = manager.subscribe(lambda task, _: heard.append(tuple(task.progress[:3])), ["progressed"])
    task = async_tool(manager)(generate_later if asynchronous else generate)()
    task.wait(WAIT)
    forget()
    return task, heard


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_generator_yields_progress_and_logs(manager: AsyncToolManager, asynchronous: bool) -> None:
    reports = [Progress(1, 4), {"done": 2}, {"fraction": 0.75, "message": "nearly"}, {"message": "so"}, Progress(1, 1)]
    task, heard = reports_of(manager, ["begin", *reports[:3], 7, *reports[3:]], asynchronous)
    assert heard == [(1, 4, ""), (2, 4, ""), (0.75, 1, "nearly"), (0.75, 1, "so"), (1, 1, "so")]
    assert task.logs == ["begin"]
    assert task.value == 7


@pytest.mark.parametrize(
    "value", [{}, {"done": True}, {"done": "all"}, {"done": 1, "rows": 5}, {"message": 5}, 0.5, [1, 2]]
)
def test_other_values_are_no_progress(manager: AsyncToolManager, value: Any) -> None:
    task, heard = reports_of(manager, [value])
    assert (task.value, heard) == (value, [])


def test_what_looks_like_a_report_is_the_result_where_there_is_nothing_else(manager: AsyncToolManager) -> None:
    assert reports_of(manager, [{"message": "one"}, {"message": "two"}])[0].value == {"message": "two"}
    assert reports_of(manager, [Progress(1, 2)])[0].value is None
    assert reports_of(manager, ["done", {"message": "two"}])[0].value == "done"


def test_a_coroutine_that_returns_a_coroutine_is_awaited(manager: AsyncToolManager) -> None:
    async def inner() -> int:
        return 4

    async def outer() -> Any:
        return inner()

    assert async_tool(manager)(outer)().result(WAIT) == 4


async def test_a_coroutine_that_raises_generator_exit_ends_as_one_that_was_stopped(manager: AsyncToolManager) -> None:
    unheard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))

    async def leave() -> None:
        raise GeneratorExit

    task = async_tool(manager)(leave)()
    await task.ended()
    assert task.status == "cancelled"
    await asyncio.sleep(0)
    gc.collect()
    assert unheard == []
