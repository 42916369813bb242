"""Transfer: bodies, values and errors as bytes, on their way to another process and back.

Pickled by cloudpickle, so that functions typed in a notebook or in ``__main__`` can go.
"""

from __future__ import annotations

import functools
import inspect
import io
import pickle
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from ...errors import MissingExtraError, TaskTransferError
from ...tools.text import cut, error_text
from ..manager import AsyncToolManager, default_manager
from ..task import Task

__all__ = ["Parcel", "check_installed", "open_outcome", "pack", "pack_error", "pack_value"]

_OURS = str(Path(__file__).parents[1])
_TRACEBACK = 20_000
_SAID = 2000


class Parcel(NamedTuple):
    """A body on its way, and which task it belongs to.

    Attributes:
        body: Function and arguments, pickled.
    """

    task_id: str
    number: int
    tool_name: str
    label: str
    body: bytes

    def open(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function and its arguments.

        Raises:
            TaskTransferError: If they cannot be loaded here.
        """
        try:
            function, arguments = pickle.loads(self.body)  # noqa: S301 - written by `pack` in the user's own program
        except Exception as error:
            raise TaskTransferError(
                f"{self.tool_name} could not be loaded where it was to run: {type(error).__name__}: "
                f"{error_text(error, 300)}. Modules that it imports must be installed there, too."
            ) from error
        return function, arguments


def check_installed() -> None:
    """Raise `MissingExtraError` if cloudpickle is not installed."""
    _pickler()


def pack(task: Task, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Parcel:
    """Make a body ready to go.

    Raises:
        TaskTransferError: If the function or an argument cannot be sent; names which.
    """
    try:
        body = _dumps((function, dict(arguments)))
    except Exception as error:
        raise TaskTransferError(
            f"{task.tool_name} cannot be sent to another process: {_culprit(function, arguments)} cannot be pickled "
            f'({error_text(error, 300)}). Make it inside the function, or run the tool with runner="thread".'
        ) from error
    return Parcel(task.id, task.number, task.tool_name, task.label, body)


def pack_value(value: Any, tool_name: str) -> bytes:
    """Make what a body returned ready to go back; a value that cannot go becomes the error that says so."""
    try:
        return pickle.dumps(("returned", _dumps(value)))
    except Exception as error:  # noqa: BLE001 - anything may happen in a value's own code
        return pack_error(
            TaskTransferError(
                f"{tool_name} returned a value that cannot be sent back from the process that ran it: {_type(value)} "
                f"cannot be pickled ({error_text(error, 300)}). Return plain data, or run the tool with "
                'runner="thread".'
            )
        )


def pack_error(error: BaseException) -> bytes:
    """Make what a body raised ready to go back, with its traceback as text."""
    try:
        pickled = _dumps(error)
        same = type(pickle.loads(pickled)) is type(error)  # noqa: S301 - just written
        data = pickled if same else None
    except Exception:  # noqa: BLE001 - an exception that cannot be pickled, or not be made anew
        data = None
    return pickle.dumps(("raised", data, type(error).__name__, error_text(error, _SAID), _traceback_text(error)))


def open_outcome(data: bytes, tool_name: str, where: str) -> tuple[Any, BaseException | None]:
    """Return the value and None, or None and the error, of what came back from ``where``.

    The traceback of an error is in its notes: its frames are in another process.
    """
    kind, *content = pickle.loads(data)  # noqa: S301 - written by the functions above in the user's own workers
    try:
        found = None if content[0] is None else pickle.loads(content[0])  # noqa: S301
    except Exception as error:  # noqa: BLE001 - whatever the value's own code raises
        if kind == "returned":
            return None, TaskTransferError(
                f"{tool_name} returned a value that cannot be loaded here: {type(error).__name__}: "
                f"{error_text(error, 300)}."
            )
        found = None
    if kind == "returned":
        return found, None
    _, name, said, trace = content
    if not isinstance(found, BaseException):
        found = TaskTransferError(f"{name}: {said} (the {name} itself could not be sent back; this is what it said)")
    found.add_note(f"Raised in {where}:\n{trace}")
    return None, found


def _dumps(value: Any) -> bytes:
    file = io.BytesIO()
    _pickler()(file, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return file.getvalue()


@functools.cache
def _pickler() -> type[pickle.Pickler]:
    try:
        import cloudpickle
    except ImportError:
        raise MissingExtraError("Running tools in other processes", "processes") from None

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, AsyncToolManager):
                # A tool that a body mentions starts its tasks where the body runs.
                return default_manager, ()
            return super().reducer_override(obj)

    return Pickler


def _culprit(function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """Return what of a body cannot be pickled, in words."""
    for name, value in arguments.items():
        if not _goes(value):
            return f"its argument {name!r}, {_type(value)},"
    inner = function
    while isinstance(inner, functools.partial):
        inner = next((part for part in (*inner.args, *inner.keywords.values()) if inspect.isfunction(part)), inner.func)
    bound = getattr(inner, "__self__", None)
    if bound is not None and not _goes(bound):
        return f"the object whose method it is, {_type(bound)},"
    try:
        names = inspect.getclosurevars(inspect.unwrap(inner))
    except (TypeError, ValueError):
        return "the function"
    for name, value in (*names.nonlocals.items(), *names.globals.items()):
        if not _goes(value):
            return f"{name!r}, {_type(value)} that its code uses,"
    return "the function"


def _goes(value: Any) -> bool:
    try:
        _dumps(value)
    except Exception:  # noqa: BLE001 - that is the answer
        return False
    return True


def _type(value: Any) -> str:
    kind = type(value)
    return f"a {kind.__qualname__}" if kind.__module__ == "builtins" else f"a {kind.__module__}.{kind.__qualname__}"


def _traceback_text(error: BaseException) -> str:
    """Return the traceback from the user's own code on, its end if it is long."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    except Exception as failure:  # noqa: BLE001 - an exception whose own code raises
        return f"{type(error).__name__} (its traceback cannot be shown: {type(failure).__name__})"
    return text if len(text) <= _TRACEBACK else cut(text[-_TRACEBACK:], _TRACEBACK)
