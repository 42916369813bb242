"""tqdm_hook: bars of tqdm that are made inside a task drive the task's bar. In force only while bodies run.

A bar that is made inside a task becomes one of a subclass that shows nothing itself; all others stay what they are.
tqdm is never imported from here: if the program has it, or a body imports it, the one place that makes bars is changed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.machinery
import sys
import weakref
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import TaskCancelledError
from .progress import Bar, running_task

if TYPE_CHECKING:
    from .task import Task

__all__ = ["install", "remove"]

_MODULE = "tqdm.std"
_changed: list[tuple[Any, Any, Any]] = []


def install() -> None:
    """Take up bars from now on."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    if (module := sys.modules.get(_MODULE)) is not None:
        _change(module)


def remove() -> None:
    """Leave tqdm as it was."""
    with contextlib.suppress(ValueError):
        sys.meta_path.remove(_finder)
    while _changed:
        kind, before, ours = _changed.pop()
        if kind.__new__ is ours:
            kind.__new__ = staticmethod(before)


def _change(module: ModuleType) -> None:
    kind: Any = getattr(module, "tqdm", None)
    if kind is None or any(kind is other for other, _, _ in _changed):
        return
    before = kind.__new__
    ours = _maker(before)
    _changed.append((kind, before, ours))
    kind.__new__ = staticmethod(ours)


class _Finder:
    """Changes tqdm when a body is the first to import it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if name != _MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        loader: Any = None if spec is None else spec.loader
        if loader is not None:
            execute = loader.exec_module

            def execute_and_change(module: ModuleType) -> None:
                execute(module)
                if _finder in sys.meta_path:
                    _change(module)

            loader.exec_module = execute_and_change
        return spec


_finder: Any = _Finder()


def _maker(make: Any) -> Any:
    """Return what stands in for ``tqdm.__new__``."""

    @functools.wraps(make)
    def make_in_task(cls: type, *args: Any, **kwargs: Any) -> Any:
        task = running_task.get()
        if task is None or issubclass(cls, _TaskBar):
            return make(cls, *args, **kwargs)
        bar = make(_kind_for(cls), *args, **kwargs)
        bar.task_of_bar = task
        return bar

    return make_in_task


_kinds: weakref.WeakKeyDictionary[type, type] = weakref.WeakKeyDictionary()


def _kind_for(cls: type) -> type:
    if (known := _kinds.get(cls)) is not None:
        return known
    # Its own set of bars: those of a task must not move others to another line, nor start tqdm's watching thread.
    own = {"_instances": weakref.WeakSet(), "monitor_interval": 0, "__module__": cls.__module__}
    kind = _kinds[cls] = type(cls.__name__, (_TaskBar, cls), own)
    return kind


class _TaskBar:
    """What a task's bar does otherwise than the bar that the body asked for."""

    colour = None
    task_of_bar: Task
    task_bar: Bar | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "disable" in kwargs and kwargs["disable"] is None:
            kwargs["disable"] = False
        if any(kind.__module__ == "tqdm.notebook" for kind in type(self).__mro__):
            kwargs["display"] = False
        super().__init__(*args, **kwargs)
        bar: Any = self
        if not bar.disable and bar.dynamic_miniters:
            bar.miniters, bar.dynamic_miniters = 1, False

    @staticmethod
    def status_printer(*args: Any, **kwargs: Any) -> Any:
        del args, kwargs
        return _Nowhere()

    def moveto(self, n: int) -> None:
        pass

    def clear(self, *args: Any, **kwargs: Any) -> None:
        pass

    def display(self, *args: Any, **kwargs: Any) -> bool:
        bar: Any = self
        said = [str(part) for part in (getattr(bar, "desc", ""), getattr(bar, "postfix", "")) if part]
        # tqdm ends a description with the colon that its own line needs.
        label = ", ".join(part.rstrip(": ") for part in said)
        if self.task_bar is None:
            self.task_bar = Bar(self.task_of_bar, label, None)
        self.task_bar.show(bar.n, bar.total, label)
        return True

    def update(self, n: float | None = 1) -> Any:
        shown = super().update(n)  # type: ignore[misc]
        task = self.task_of_bar
        if task.done() or task.life.ending:
            why = task.life.ending or task.status
            raise TaskCancelledError(f"Task {task.number}, {task.label}, was to end: {why}.")
        return shown

    def reset(self, total: float | None = None) -> None:
        # Not the notebook's, which would reach for its widget.
        sys.modules[_MODULE].tqdm.reset(self, total)

    def close(self) -> None:
        if not getattr(self, "disable", True):
            bar: Any = self
            bar.fp = _Nowhere()
            super().close()  # type: ignore[misc]
            if self.task_bar is not None:
                self.task_bar.close()


class _Nowhere:
    """A file, a printer and a widget of tqdm's that shows nothing."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def write(self, text: str) -> None:
        pass

    def flush(self) -> None:
        pass
