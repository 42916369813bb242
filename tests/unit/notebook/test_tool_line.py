"""The line of %%async_tool: every option of a tool, and words for what is wrong."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.error import UsageError

from backchannel.notebook.magics import BackchannelMagics
from backchannel.notebook.tool_line import TOOL_LINE, ToolLine
from backchannel.tasks import AsyncTool, AsyncToolManager, async_tool
from backchannel.tasks import manager as manager_module
from backchannel.tasks.decorator import ToolOptions
from backchannel.tasks.runners.threads import ThreadRunner


def fit(n: int = 1) -> int:
    """Fit."""
    return n


async def fetch(n: int = 1) -> int:
    """Fetch."""
    return n


@pytest.fixture(autouse=True)
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[AsyncToolManager]:
    with AsyncToolManager() as manager:
        monkeypatch.setattr(manager_module, "_default", manager)
        yield manager


def options(line: str, names: dict[str, Any] | None = None, function: Callable[..., Any] = fit) -> dict[str, Any]:
    return ToolLine(line).options(function, names or {})[0]


def test_an_empty_line_changes_nothing() -> None:
    assert options("") == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--timeout 600 --retries 2", {"timeout": 600.0, "retries": 2}),
        ("--retries 3 --backoff 0", {"retries": 3, "backoff_s": 0.0}),
        ("--retries 1 --retry-on OSError", {"retries": 1, "retry_on": (OSError,)}),
        (
            "--retries 1 --retry-on 'TimeoutError, futures.BrokenExecutor'",
            {"retries": 1, "retry_on": (TimeoutError, concurrent.futures.BrokenExecutor)},
        ),
        ("--priority -5 --limit 2", {"priority": -5, "limit": 2}),
        ("--on-duplicate replace --deferred --takes-results", None),
        ("--milestones quarters", {"milestones": "quarters"}),
        ("--milestones 30", {"milestones": 30.0}),
        ("--announce at_once --grace 0", {"announce": "at_once", "grace_s": 0.0}),
        ("--confirm", {"confirm": True}),
        ("--confirm 'Fit {n}?' --context ctx", {"confirm": "Fit {n}?", "context": "ctx"}),
        ("--context --name go", {"context": True, "name": "go"}),
        ("--runner process", {"runner": "process"}),
        ("--runner=tcp://127.0.0.1:8786", {"runner": "tcp://127.0.0.1:8786"}),
        ("--summarize str", {"summarize": str}),
        ("--deferred --resume str", {"deferred": True, "resume": str}),
    ],
)
def test_options_are_those_of_the_decorator(line: str, expected: dict[str, Any] | None) -> None:
    found = options(line, {"futures": concurrent.futures, "str": str})
    expected = expected or {"on_duplicate": "replace", "deferred": True, "takes_results": True}
    assert found == expected
    assert isinstance(async_tool(**{**found, "context": False})(fit), AsyncTool)


def test_names_stand_for_what_the_notebook_has(manager: AsyncToolManager) -> None:
    other = AsyncToolManager()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert options("--runner pool", {"pool": pool}) == {"runner": pool}
    assert options("--manager other", {"other": other}) == {"manager": other}
    first, second = (manager.start("fit", fit, {"n": n}) for n in (1, 2))
    names = {"first": first, "dask": object(), "thread": 5}
    assert options(f"--after first,{second.number},{first.id}", names) == {"after": (first, second, first)}
    assert options("--runner thread", names) == {"runner": "thread"}


def test_workers_are_threads_of_the_tools_own_and_the_same_when_the_cell_runs_again() -> None:
    first, again, other = options("--workers 2"), options("--workers 2"), options("--workers 2 --name other")
    assert first["limit"] == 2
    assert isinstance(first["runner"], ThreadRunner)
    assert first["runner"] is again["runner"] is not other["runner"]
    assert options("--workers 2", function=fetch) == {"limit": 2}


def test_runs_beyond_the_workers_wait(manager: AsyncToolManager) -> None:
    go, started = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        started.release()
        go.wait(10)

    tool = async_tool(**options("--workers 5", function=wait))(wait)
    runs = [tool() for _ in range(6)]
    for _ in range(5):
        assert started.acquire(timeout=10)
    assert [run.status for run in runs] == ["running"] * 5 + ["queued"]
    go.set()
    assert [run.wait(10) for run in runs] == [True] * 6


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--timeout soon", "--timeout must be more than 0 seconds, not 'soon'"),
        ("--timeout 0", "--timeout must be more than 0"),
        ("--timeout nan", "--timeout must be more than 0"),
        ("--timeout inf", "--timeout must be more than 0"),
        ("--timeout", "--timeout: expected one argument"),
        ("--retries -1", "--retries must be a whole number, 0 or more, not '-1'"),
        ("--retries 1.5", "--retries must be a whole number"),
        ("--retry-on OSError", "--retry-on says how to try again, but --retries does not say how often"),
        ("--retries 0 --backoff 2", "--backoff says how"),
        ("--retries 1 --backoff -1", "--backoff must be 0 seconds or more"),
        ("--retries 1 --retry-on int", "--retry-on int: that is not an exception"),
        ("--retries 1 --retry-on 'a b'", "--retry-on a b: that is not an exception"),
        ("--retries 1 --retry-on ,", "--retry-on must be one name"),
        ("--priority high", "--priority must be a whole number, not 'high'"),
        ("--limit 0", "--limit must be a whole number, 1 or more"),
        ("--workers 0", "--workers must be a whole number, 1 or more"),
        ("--workers 2 --runner process", "--workers and --runner exclude one another"),
        ("--workers 2 --limit 2", "--workers and --limit exclude one another"),
        ("--on-duplicate again", "--on-duplicate must be start_another, reuse, refuse or replace, not 'again'"),
        ("--announce loudly", "--announce must be when_free, at_once or never, not 'loudly'"),
        ("--milestones half", '--milestones must be "quarters" or a number of seconds above 0'),
        ("--milestones 0", "--milestones must be"),
        ("--runner moon", "--runner moon: .*no place to run.*there is no variable moon"),
        ("--runner number", "--runner number: runner=7 is no place to run"),
        ("--runner coroutine", "--runner coroutine takes only async functions"),
        ("--manager number", "--manager number: that is no AsyncToolManager but 7"),
        ("--manager boss", "--manager boss: there is no variable of that name"),
        ("--after 99", "--after 99: there is no task of that number"),
        ("--after number", "--after number: there is no task"),
        ("--summarize number", "--summarize number: there is no function"),
        ("--deferred --resume nothing", "--resume nothing: there is no function"),
        ("--result-as 2x", "--result-as must be a name; '2x' cannot be the name of a variable"),
        ("--retriez 2", "--retriez is not known here; did you mean --retries"),
        ("--timeout 5 fast", "fast is not known here"),
        ("--name 'x", "No closing quotation"),
    ],
)
def test_what_is_wrong_is_said_and_names_the_option(line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        options(line, {"number": 7})
    assert str(raised.value).startswith("%%async_tool: ")


def test_an_error_that_is_not_known_here_counts_by_its_name_and_that_is_said() -> None:
    found, notes = ToolLine("--retries 1 --retry-on requests.Timeout").options(fit, {})
    assert found["retry_on"] == ("Timeout",)
    assert notes == [
        "--retry-on requests.Timeout: no such exception is known here; any error of a class named Timeout will count."
    ]


def test_every_option_of_a_tool_has_one_here_but_what_the_function_itself_says() -> None:
    here = {action.dest for action in TOOL_LINE._actions}
    assert set(ToolOptions.__annotations__) - here == {"description", "input_schema"}
    assert here - set(ToolOptions.__annotations__) == {"workers", "result_as"}


def test_the_help_names_every_option() -> None:
    words = (BackchannelMagics.async_tool.__doc__ or "").split()
    known = {name for name in TOOL_LINE._option_string_actions if name.startswith("--")}
    assert known == {word for word in words if word.startswith("--")}
