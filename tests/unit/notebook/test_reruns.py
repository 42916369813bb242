"""Tasks of an earlier kernel on the boards, and those that are run again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.error import UsageError

from backchannel.errors import InvalidInputError, SessionConflictError, SessionStorageError, TaskRefusedError
from backchannel.journal import FileStore, Journal
from backchannel.notebook import magics
from backchannel.notebook import widget as widget_module
from backchannel.notebook.hub import Hub
from backchannel.notebook.ledger_place import ledger_store
from backchannel.notebook.voice import Voice
from backchannel.notebook.wire import Again
from backchannel.tasks import AsyncTool, AsyncToolManager, async_tool, default_manager, set_default_manager
from backchannel.tasks.ledger_state import FORMAT
from backchannel.tools.registry import ToolRegistry

from .test_hub import PATIENCE_S, Page, Shell


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(widget_module, "built_text", lambda name: "")
    set_default_manager(None)
    notebook = Hub(Shell())
    notebook.open()
    yield notebook
    notebook.close()
    default_manager().shutdown(cancel=True)
    set_default_manager(None)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The ledger of a kernel that ended with one task done, one running, one waiting outside, and one failed."""
    path = tmp_path / "tasks.jsonl"
    with Journal(FileStore(path), FORMAT) as journal:
        journal.open()
        for number in range(1, 5):
            made = {"kind": "task.created", "id": f"{number:08x}", "number": number, "tool": "train", "at": time.time()}
            arguments = {"dataset": f"sales {number}"}
            journal.append(
                made | {"arguments": arguments, "label": f"train sales {number}", "where": {"kind": "thread"}}
            )
            journal.append({"kind": "task.started", "id": f"{number:08x}", "at": time.time()})
        ended = {"kind": "task.ended", "at": time.time(), "elapsed": 2.0}
        journal.append({**ended, "id": f"{1:08x}", "status": "done", "text": "<b>4 %</b>", "value": "<b>4 %</b>"})
        journal.append({"kind": "task.deferred", "id": f"{3:08x}", "poll": False})
        failed = {"status": "failed", "text": "no data", "error_type": "ValueError", "error": "no data"}
        journal.append({**ended, "id": f"{4:08x}", **failed})
    return path


def train(dataset: str) -> str:
    """Train."""
    return dataset.upper()


def column(page: Page, name: str) -> list[Any]:
    return [row[name] for row in page.rows.values()]


def test_the_rows_of_an_earlier_kernel_are_there_again(hub: Hub, earlier: Path) -> None:
    assert not hub.keep(str(earlier))
    assert hub.ledger == str(earlier)
    page = Page(hub, hub.board_of_everything())
    page.until(lambda: len(page.rows) == 4, "the rows")
    assert column(page, "status") == ["done", "lost", "running", "failed"]
    assert column(page, "text")[0] == "<b>4 %</b>"
    assert column(page, "error")[3] == "ValueError: no data"
    assert column(page, "waits") == [False, False, True, False]
    assert column(page, "again") == [False] * 4
    assert column(page, "note")[1:3] == [
        "declare train to run it again",
        "from an earlier kernel, waits for its result from elsewhere",
    ]
    assert default_manager().resolve(f"{3:08x}", "booked")
    page.until(lambda: column(page, "status")[2] == "done", "the value from elsewhere")


def test_a_tool_that_is_declared_again_shows_them_in_its_cell_and_runs_them_again_once(hub: Hub, earlier: Path) -> None:
    hub.keep(str(earlier))
    everything = Page(hub, hub.board_of_everything())
    tool = async_tool(train)
    page = Page(hub, hub.declare(tool, "cell-1"))
    for each in (page, everything):
        each.until(lambda each=each: column(each, "again") == [False, True, False, True], "the buttons")
    for _ in range(3):
        page.say(Again("p", f"{2:08x}"))
        everything.say(Again("p", f"{2:08x}"))
    for each in (page, everything):
        each.until(lambda each=each: len(each.rows) == 5 and each.statuses[4] == "done", "the new run")
        assert column(each, "text")[4] == "SALES 2"
        each.until(lambda each=each: column(each, "note")[1] == "run again as task 5", "the note")
        assert column(each, "again") == [False, False, False, True, False]
    assert [task.number for task in default_manager().tasks] == [1, 2, 3, 4, 5]
    assert hub.run_again("4").result(PATIENCE_S) == "SALES 4"
    assert hub.run_again("4").number == 6


def test_a_button_that_is_not_there_does_nothing(hub: Hub, earlier: Path) -> None:
    hub.keep(str(earlier))
    page = Page(hub, hub.declare(async_tool(train), "cell-1"))
    for name in (f"{1:08x}", f"{3:08x}", "no such task", ""):
        hub._press(name)
    assert [task.number for task in default_manager().tasks] == [1, 2, 3, 4]
    assert set(page.rows) <= {f"{number:08x}" for number in range(1, 5)}


def test_failed_and_cancelled_runs_of_this_kernel_may_be_run_again_too(hub: Hub) -> None:
    go = threading.Event()

    @async_tool
    def fit(n: int) -> int:
        """Fit."""
        go.wait(PATIENCE_S)
        return 1 // n

    page = Page(hub, hub.declare(fit, "cell-1"))
    failing, waiting = fit(0), fit(1)
    waiting.cancel()
    go.set()
    page.until(lambda: column(page, "again") == [True, True], "the buttons")
    assert column(page, "note") == ["", ""]
    assert hub.run_again(str(waiting.number)).result(PATIENCE_S) == 1
    assert hub.run_again(failing.id).wait(PATIENCE_S)
    page.until(lambda: column(page, "note")[:2] == ["run again as task 4", "run again as task 3"], "the notes")
    page.until(lambda: column(page, "again") == [False, False, False, True], "the button of the new failure")


def test_what_keeps_a_task_from_running_again_stands_in_its_row_each_time(hub: Hub) -> None:
    go = threading.Event()
    with AsyncToolManager(max_workers=1, max_queued=0) as manager:

        @async_tool(manager)
        def fit(n: int) -> int:
            """Fit."""
            return 1 // n

        @async_tool(manager)
        def hold() -> bool:
            """Hold the only place."""
            return go.wait(PATIENCE_S)

        page = Page(hub, hub.declare(fit, "cell-1"))
        failed = fit(0)
        assert failed.wait(PATIENCE_S)
        holding = hold()
        page.say(Again("p", failed.id))
        page.until(lambda: "fit was not started" in column(page, "note")[0], "the refusal")
        page.say(Again("p", failed.id))
        page.until(lambda: column(page, "note")[0].startswith("tried 2 times: fit was not started"), "the next one")
        assert column(page, "again") == [True]
        go.set()
        assert holding.wait(PATIENCE_S)
        page.say(Again("p", failed.id))
        page.until(lambda: column(page, "note")[0].startswith("run again as task "), "the new run")
    with pytest.raises(TaskRefusedError, match="There is no task 99"):
        hub.run_again("99")


def test_what_a_cell_asks_for_in_vain_is_said_in_the_cell_and_not_in_the_row(hub: Hub) -> None:
    go = threading.Event()

    @async_tool
    def hold() -> bool:
        """Hold."""
        return go.wait(PATIENCE_S)

    page = Page(hub, hub.declare(hold, "cell-1"))
    task = hold()
    with pytest.raises(TaskRefusedError, match="has not ended"):
        hub.run_again("1")
    go.set()
    assert task.wait(PATIENCE_S)
    page.until(lambda: page.statuses == ["done"], "the end")
    assert column(page, "note") == [""]


def test_a_conversation_hears_of_the_manager_with_the_ledger(hub: Hub, tmp_path: Path) -> None:
    tool = async_tool(train)
    registry = ToolRegistry()
    registry.register(tool)
    heard: list[AsyncToolManager] = []
    registry.on_change(lambda: heard.extend(each.manager for each in registry.tools() if isinstance(each, AsyncTool)))
    hub.voices.append(SimpleNamespace(watch_anew=lambda: Voice.watch_anew(voice), stop=_nothing))  # type: ignore[arg-type]
    voice: Any = SimpleNamespace(agent=SimpleNamespace(tool_registry=registry))
    hub.keep(str(tmp_path / "tasks.jsonl"))
    assert heard == [default_manager()]
    assert default_manager().ledger is not None


async def _nothing() -> None:
    return None


def test_a_ledger_is_kept_in_one_place_only(hub: Hub, tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    train_before = async_tool(train)
    assert train_before("x").wait(PATIENCE_S)
    assert hub.keep(str(first))
    assert not hub.keep(str(first))
    with pytest.raises(InvalidInputError, match=r"keeps its tasks in .*a\.jsonl already"):
        hub.keep(str(second))
    assert train_before("y").manager is default_manager()
    assert [task.tool_name for task in hub.tasks] == ["train", "train"]
    with pytest.raises(SessionConflictError):
        AsyncToolManager(ledger=first)


def test_a_place_is_a_file_a_folder_or_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert ledger_store(str(tmp_path / "x.jsonl")).location == str(tmp_path / "x.jsonl")
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/Demand model.ipynb")
    assert ledger_store(str(tmp_path)).location == str(tmp_path / "Demand model.tasks.jsonl")
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert ledger_store(f"{tmp_path}/new/").location == str(tmp_path / "new" / "notebook.tasks.jsonl")
    assert ledger_store("s3://bucket/runs/mine").location == "s3://bucket/runs/mine/"
    (tmp_path / "notes.txt").write_text("1, 2, 3")
    with pytest.raises(InvalidInputError, match="is no ledger of tasks"):
        ledger_store(str(tmp_path / "notes.txt"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SessionStorageError, match="nobody"):
        ledger_store("s3://bucket/key")
    for wrong in ("", "  ", "s3://", "s3://bucket", "s3://bucket/"):
        with pytest.raises(InvalidInputError):
            ledger_store(wrong)


class MagicShell(Shell):
    """Also what magics need of a shell."""

    def __init__(self) -> None:
        super().__init__()
        self.events = self.display_formatter = self.ipython_display_formatter = self
        self.magics_manager = type("Manager", (), {"magics": {"line": {}, "cell": {}}})()

    def register_magics(self, *_: object) -> None: ...
    def register(self, *_: object) -> None: ...
    def unregister(self, *_: object) -> None: ...
    def for_type(self, *_: object) -> None: ...
    def pop(self, *_: object) -> None: ...


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[magics.BackchannelMagics]:
    monkeypatch.setattr(widget_module, "built_text", lambda name: "")
    set_default_manager(None)
    shell = MagicShell()
    magics.load(shell)
    yield magics._loaded[id(shell)]
    magics.unload(shell)
    default_manager().shutdown(cancel=True)
    set_default_manager(None)


def test_the_magic_keeps_tasks_and_runs_them_again(
    notebook: magics.BackchannelMagics, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.tasks(f"--ledger {earlier}")
    assert len(notebook.hub.board_of_everything().rows) == 4
    with pytest.raises(UsageError, match="Declare the tool 'train' again"):
        notebook.tasks("run 2")
    kept = AsyncTool(train)
    notebook.tasks("run 2 4")
    assert capsys.readouterr().out == "Task 2 runs again as task 5.\nTask 4 runs again as task 6.\n"
    assert [task.tool_name for task in kept.manager.tasks[4:]] == ["train", "train"]
    for line, said in (
        ("run", "say %tasks"),
        ("cancel", "say %tasks"),
        ("stop 3", "say %tasks"),
        ("run 99", "There is no task 99"),
        ("--ledger other.jsonl", "already"),
        ("--ledger x.jsonl run 3", "say %tasks"),
        ("--ledgers x", "did you mean --ledger"),
        ("--ledger", "--ledger: expected one argument"),
    ):
        with pytest.raises(UsageError, match=said):
            notebook.tasks(line)


def test_the_ledger_may_be_on_from_the_start(
    monkeypatch: pytest.MonkeyPatch, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(widget_module, "built_text", lambda name: "")
    monkeypatch.setenv("BACKCHANNEL_LEDGER", str(earlier))
    shell, other = MagicShell(), MagicShell()
    set_default_manager(None)
    try:
        hub = magics.load(shell)
        assert [task.status for task in hub.tasks] == ["done", "lost", "running", "failed"]
        assert len(magics.load(shell).tasks) == 4
        kept = default_manager()
        # As another kernel would find it.
        set_default_manager(None)
        magics.load(other)
        assert capsys.readouterr().out.startswith(
            "Note: the tasks of this notebook are not kept in BACKCHANNEL_LEDGER="
        )
        kept.shutdown(wait=False, cancel=True)
    finally:
        magics.unload(shell)
        magics.unload(other)
        set_default_manager(None)
