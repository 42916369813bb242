"""What goes to another process and back."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import MissingExtraError, TaskTransferError
from backchannel.tasks import AsyncToolManager, Task, async_tool, default_manager
from backchannel.tasks.lifecycle import Life
from backchannel.tasks.runners import transfer
from backchannel.tasks.runners.transfer import open_outcome, pack, pack_error, pack_value

LOCK = threading.Lock()


def task_of(name: str = "train") -> Task:
    return Task(AsyncToolManager(), "00000001", 1, name, {}, Life(0.0), label="train it")


def carried(function: Callable[..., Any], **arguments: Any) -> Any:
    opened, given_arguments = pack(task_of(), function, arguments).open()
    return opened(**given_arguments)


class Careless(Exception):
    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"{what} is {how}")


class Grumpy:
    def __reduce__(self) -> Any:
        raise RuntimeError("leave me alone")


class Spoiled:
    def __reduce__(self) -> Any:
        return fail, ()


def fail() -> None:
    raise KeyError("no such thing")


def test_a_parcel_says_whose_it_is():
    parcel = pack(task_of(), len, {})
    assert parcel[:4] == ("00000001", 1, "train", "train it")


def test_a_function_that_is_in_no_module_goes():
    base = 40
    assert carried(lambda more: base + more, more=2) == 42
    assert carried(functools.partial(lambda a, b: (a, b), 1), b=2) == (1, 2)


def test_a_tool_that_a_function_mentions_goes_and_has_the_managers_of_the_place():
    @async_tool(AsyncToolManager())
    def other() -> int:
        return 5

    found = carried(lambda: other)
    assert found.fn() == 5
    assert found.manager is default_manager()


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (lambda lock: None, {"lock": LOCK}, r"its argument 'lock', a _thread.lock, cannot"),
        (lambda data: None, {"data": {"deep": [LOCK]}}, r"its argument 'data', a dict, cannot"),
        (lambda: LOCK, {}, r"'LOCK', a _thread.lock that its code uses, cannot"),
        (functools.partial(lambda a: LOCK, 1), {}, r"'LOCK', a _thread.lock that its code uses"),
        (LOCK.acquire, {}, r"the object whose method it is, a _thread.lock, cannot"),
        (lambda grumpy: None, {"grumpy": Grumpy()}, r"'grumpy', a .*Grumpy, cannot be pickled \(leave me alone\)"),
    ],
)
def test_what_cannot_be_sent_is_named(function: Any, arguments: dict[str, Any], words: str):
    with pytest.raises(TaskTransferError, match=words) as caught:
        pack(task_of(), function, arguments)
    assert "train cannot be sent" in str(caught.value)
    assert 'runner="thread"' in str(caught.value)


def test_what_cannot_be_loaded_there_says_so():
    parcel = pack(task_of(), lambda x: x, {"x": Spoiled()})
    with pytest.raises(TaskTransferError, match="train could not be loaded where it was to run: KeyError"):
        parcel.open()


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.binary(), lambda s: st.lists(s, max_size=3))
)
def test_values_come_back_as_they_are(value: Any):
    assert open_outcome(pack_value(value, "train"), "train", "process 1") == (value, None)


def test_a_value_that_cannot_come_back_is_an_error_that_names_it():
    value, error = open_outcome(pack_value(LOCK, "train"), "train", "process 1")
    assert value is None
    assert isinstance(error, TaskTransferError)
    assert "train returned a value" in str(error)
    assert "a _thread.lock cannot be pickled" in str(error)


def test_a_value_that_cannot_be_loaded_here_is_an_error():
    value, error = open_outcome(pack_value(Spoiled(), "train"), "train", "process 1")
    assert value is None
    assert isinstance(error, TaskTransferError)
    assert "cannot be loaded here: KeyError" in str(error)


def throw(error: BaseException) -> None:
    raise error


def raised(make: Callable[[], BaseException]) -> BaseException:
    try:
        throw(make())
    except BaseException as error:
        found = open_outcome(pack_error(error), "train", "process 7")[1]
    assert found is not None
    return found


@pytest.mark.parametrize("kind", [ValueError, KeyError, SystemExit, KeyboardInterrupt, BaseException, UnicodeError])
def test_an_error_comes_back_with_its_traceback_as_text(kind: type[BaseException]):
    error = raised(lambda: kind("why"))
    assert type(error) is kind
    assert error.args == ("why",)
    (note,) = error.__notes__
    assert note.startswith("Raised in process 7:\nTraceback")
    assert "in throw" in note


def test_an_error_that_cannot_be_made_anew_comes_back_as_what_it_said():
    error = raised(lambda: Careless("the door", "open"))
    assert isinstance(error, TaskTransferError)
    assert str(error).startswith("Careless: the door is open (the Careless itself")
    assert "Careless: the door is open" in error.__notes__[0]


def test_an_error_that_carries_what_cannot_be_sent_comes_back_as_what_it_said():
    error = raised(lambda: ValueError("bad", LOCK))
    assert isinstance(error, TaskTransferError)
    assert str(error).startswith("ValueError: ('bad', <unlocked _thread.lock")


def test_a_traceback_of_any_length_is_bounded():
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError("x" * 100_000)

    try:
        deep(300)
    except ValueError as error:
        data = pack_error(error)
    found = open_outcome(data, "train", "process 7")[1]
    assert found is not None
    assert len(found.__notes__[0]) < 25_000


def test_without_cloudpickle_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    transfer._pickler.cache_clear()
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    try:
        with pytest.raises(MissingExtraError, match=r"backchannel\[processes\]"):
            transfer.check_installed()
    finally:
        transfer._pickler.cache_clear()
