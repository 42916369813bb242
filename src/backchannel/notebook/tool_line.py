"""ToolLine: the line of ``%%async_tool`` as options of `async_tool`."""

from __future__ import annotations

import argparse
import builtins
import keyword
from collections.abc import Callable, Mapping
from typing import Any, get_args

from IPython.core.error import UsageError

from ..errors import MissingExtraError, ToolDefinitionError
from ..tasks import AsyncToolManager, Task, default_manager
from ..tasks.duplicates import OnDuplicate
from ..tasks.job import is_asynchronous
from ..tasks.options import Announce
from ..tasks.runners import runner_of
from ..tasks.runners.threads import ThreadRunner
from .magic_line import MagicLine, one_of, seconds, whole

__all__ = ["TOOL_LINE", "ToolLine"]

_MAGIC = "%%async_tool"
_PLACES = ("thread", "coroutine", "process", "dask")
_SAME = ("name", "timeout", "announce", "retries", "priority", "limit", "on_duplicate", "deferred", "milestones")
_SAME_TOO = ("confirm", "context", "takes_results", "grace_s", "backoff_s")


def _milestones(text: str) -> str | float:
    if text == "quarters":
        return text
    try:
        return seconds()(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f'must be "quarters" or a number of seconds above 0, not {text!r:.60}'
        ) from None


def _variable(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"must be a name; {text!r:.60} cannot be the name of a variable")
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise argparse.ArgumentTypeError("must be one name or several with commas between them")
    return names


TOOL_LINE = MagicLine(_MAGIC)
"""What the line may say; `BackchannelMagics.async_tool` explains it."""
TOOL_LINE.add_argument("--name")
TOOL_LINE.add_argument("--timeout", type=seconds())
TOOL_LINE.add_argument("--retries", type=whole(0))
TOOL_LINE.add_argument("--retry-on", type=_names)
TOOL_LINE.add_argument("--backoff", type=seconds(least=0), dest="backoff_s")
TOOL_LINE.add_argument("--priority", type=whole())
TOOL_LINE.add_argument("--limit", type=whole(1))
TOOL_LINE.add_argument("--workers", type=whole(1))
TOOL_LINE.add_argument("--runner")
TOOL_LINE.add_argument("--manager", type=_variable)
TOOL_LINE.add_argument("--on-duplicate", type=one_of(*get_args(OnDuplicate)))
TOOL_LINE.add_argument("--after", type=_names)
TOOL_LINE.add_argument("--takes-results", action="store_true", default=None)
TOOL_LINE.add_argument("--deferred", action="store_true", default=None)
TOOL_LINE.add_argument("--resume", type=_variable)
TOOL_LINE.add_argument("--announce", type=one_of(*get_args(Announce)))
TOOL_LINE.add_argument("--milestones", type=_milestones)
TOOL_LINE.add_argument("--grace", type=seconds(least=0), dest="grace_s")
TOOL_LINE.add_argument("--confirm", nargs="?", const=True)
TOOL_LINE.add_argument("--context", nargs="?", const=True)
TOOL_LINE.add_argument("--summarize", type=_variable)
TOOL_LINE.add_argument("--result-as", type=_variable)


_threads: dict[tuple[str, int], ThreadRunner] = {}


class ToolLine:
    """A line that was read.

    Raises:
        UsageError: If it cannot be read, or its options contradict one another.

    Attributes:
        result_as: The variable for results, or None.
    """

    def __init__(self, line: str) -> None:
        self._said = TOOL_LINE.read(line)
        self.result_as: str | None = self._said.result_as
        for option, needs in (("retry_on", "retries"), ("backoff_s", "retries")):
            if getattr(self._said, option) is not None and not getattr(self._said, needs):
                name = "--" + option.removesuffix("_s").replace("_", "-")
                raise _wrong(name, f"says how to try again, but --{needs} does not say how often")
        for one, other in (("workers", "runner"), ("workers", "limit")):
            if getattr(self._said, one) is not None and getattr(self._said, other) is not None:
                raise _wrong(f"--{one}", f"and --{other} exclude one another: use --{other} alone, or --{one} alone")

    def options(self, function: Callable[..., Any], names: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the options for `async_tool`, and what the user should know, in sentences.

        Args:
            function: What is to become the tool.
            names: The variables of the notebook.

        Raises:
            UsageError: If a name stands for nothing that the option could use.
        """
        said, notes = self._said, list[str]()
        found = {name: getattr(said, name) for name in (*_SAME, *_SAME_TOO) if getattr(said, name) is not None}
        if said.manager is not None:
            found["manager"] = _of_kind(names, "--manager", said.manager, AsyncToolManager)
        manager = found.get("manager") or default_manager()
        if said.workers is not None:
            found["limit"] = said.workers
            if not is_asynchronous(function):
                # The same threads when the cell is run again: what still runs in them counts.
                key = (said.name or function.__name__, said.workers)
                found["runner"] = _threads.setdefault(key, ThreadRunner(said.workers))
        if said.runner is not None:
            found["runner"] = _runner(said.runner, names, manager, function)
        if said.retry_on is not None:
            found["retry_on"] = tuple(_exception(name, names, notes) for name in said.retry_on)
        if said.after is not None:
            found["after"] = tuple(_task(name, names, manager) for name in said.after)
        for option in ("summarize", "resume"):
            name = getattr(said, option)
            if name is not None:
                found[option] = names.get(name)
                if not callable(found[option]):
                    raise _wrong(f"--{option}", f"{name}: there is no function of that name")
        return found, notes


def _wrong(option: str, why: str) -> UsageError:
    return UsageError(f"{_MAGIC}: {option} {why}. {_MAGIC}? lists what it takes.")


def _of_kind(names: Mapping[str, Any], option: str, name: str, kind: type) -> Any:
    value = names.get(name)
    if not isinstance(value, kind):
        what = f"that is no {kind.__name__} but {value!r:.60}" if name in names else "there is no variable of that name"
        raise _wrong(option, f"{name}: {what}")
    return value


def _runner(word: str, names: Mapping[str, Any], manager: AsyncToolManager, function: Callable[..., Any]) -> Any:
    # Whoever imports dask has a variable of that name.
    choice: Any = word if word in _PLACES else names.get(word, word)
    if choice == "coroutine" and not is_asynchronous(function):
        raise _wrong("--runner", f"{choice} takes only async functions, and this is a plain one")
    try:
        runner_of(choice, manager)
    except (ToolDefinitionError, MissingExtraError) as error:
        said = str(error).rstrip(".")
        hint = "" if word in names or not word.isidentifier() else f"; and there is no variable {word}"
        raise UsageError(f"{_MAGIC}: --runner {word:.60}: {said}{hint}.") from None
    return choice


def _exception(name: str, names: Mapping[str, Any], notes: list[str]) -> type[BaseException] | str:
    first, *rest = name.split(".")
    value = names.get(first, getattr(builtins, first, None))
    for part in rest:
        value = getattr(value, part, None)
    if isinstance(value, type) and issubclass(value, BaseException):
        return value
    if value is not None or not all(part.isidentifier() for part in (first, *rest)):
        raise _wrong("--retry-on", f"{name:.60}: that is not an exception")
    short = name.rpartition(".")[2]
    notes.append(f"--retry-on {name}: no such exception is known here; any error of a class named {short} will count.")
    return short


def _task(name: str, names: Mapping[str, Any], manager: AsyncToolManager) -> Task:
    value = names.get(name)
    if isinstance(value, Task):
        return value
    task = manager.task(name)
    if task is None:
        raise _wrong("--after", f"{name:.60}: there is no task of that number or id, and no variable that holds one")
    return task
