"""Which functions are asynchronous."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from backchannel.tasks.job import is_asynchronous


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
