"""Hub, boards and their pump with real tasks, without a kernel."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backchannel.notebook import widget as widget_module
from backchannel.notebook.board import Board
from backchannel.notebook.hub import Hub, SwitchInterval
from backchannel.notebook.wire import Ack, Cancel, Hello, Mic, Ping, Pong, Rows, ToPage, Welcome
from backchannel.tasks import AsyncTool, AsyncToolManager, async_tool, progress

PATIENCE_S = 10


class Shell:
    """The parts of IPython's shell that a hub uses."""

    def __init__(self) -> None:
        self.kernel = None
        self.display_pub = self
        self.published: list[dict[str, Any]] = []
        self.metadata: dict[str, Any] = {"cellId": "cell-1"}
        self.user_ns: dict[str, Any] = {}

    def publish(self, **what: Any) -> None:
        self.published.append(what)

    def get_parent(self) -> dict[str, Any]:
        return {"metadata": self.metadata, "header": {"msg_id": "m-1"}}


class Page:
    """Keeps what a board tells it, acknowledges, and can wait for something to be true of it."""

    def __init__(self, hub: Hub, board: Board) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.messages: list[ToPage] = []
        self._hub, self._board = hub, board
        self._changed = threading.Condition()
        board.widget.tell = self._take  # type: ignore[method-assign]
        self.say(Hello("p", 1, lab=True))

    def say(self, message: Any) -> None:
        self._hub.loop.call(self._board.receive, message)

    def until(self, true: Callable[[], Any], what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(true, PATIENCE_S), f"waited {PATIENCE_S} s for {what}"

    @property
    def statuses(self) -> list[str]:
        return [row["status"] for row in self.rows.values()]

    def _take(self, message: ToPage, audio: bytes | None = None) -> None:
        with self._changed:
            if isinstance(message, Welcome):
                self.rows |= {row["id"]: row for row in message.snapshot["rows"]}
            elif not self.messages:
                return  # As the page does: what comes before its welcome is in the welcome.
            self.messages.append(message)
            if isinstance(message, Rows):
                self.rows |= {row["id"]: row for row in message.rows}
                for name, done, total, *_ in message.moves:
                    self.rows[name] = {**self.rows[name], "done": done, "total": total}
                self.say(Ack("p", 0, message.version))
            self._changed.notify_all()


@pytest.fixture
def manager() -> Iterator[AsyncToolManager]:
    with AsyncToolManager(max_workers=2) as workers:
        yield workers


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(widget_module, "built_text", lambda name: "")
    notebook = Hub(Shell())
    notebook.open()
    yield notebook
    notebook.close()


@pytest.fixture
def go() -> threading.Event:
    return threading.Event()


def make(manager: AsyncToolManager, go: threading.Event, name: str = "train") -> AsyncTool:
    @async_tool(manager=manager, name=name)
    def train(dataset: str) -> str:
        """Train."""
        progress(1, 2, "half")
        go.wait(PATIENCE_S)
        return dataset.upper()

    return train


def test_a_run_shows_on_the_board_of_the_cell_that_declared_its_tool(
    hub: Hub, manager: AsyncToolManager, go: threading.Event
) -> None:
    train, test = make(manager, go), make(manager, go, "test")
    page, other = Page(hub, hub.declare(train, "cell-1")), Page(hub, hub.declare(test, "cell-2"))
    train("sales")
    page.until(lambda: [row["done"] for row in page.rows.values()] == [1], "the progress")
    assert page.statuses == ["running"]
    go.set()
    page.until(lambda: page.statuses == ["done"], "the end")
    assert next(iter(page.rows.values()))["text"] == "SALES"
    assert other.rows == {}


def test_a_cell_that_runs_again_keeps_its_board_and_offers_the_new_tool(
    hub: Hub, manager: AsyncToolManager, go: threading.Event
) -> None:
    first, second = make(manager, go), make(manager, go)
    board = hub.declare(first, "cell-1")
    assert hub.declare(second, "cell-1") is board
    assert hub.tools == {"train": second}
    assert hub.board_of("train") is board


def test_a_page_cancels_a_task_and_is_answered(hub: Hub, manager: AsyncToolManager, go: threading.Event) -> None:
    train = make(manager, go)
    page = Page(hub, hub.declare(train, "cell-1"))
    task = train("sales")
    page.say(Ping("p", 2.5))
    page.say(Cancel("p", task.id))
    page.until(lambda: page.statuses == ["cancelled"], "the cancellation")
    assert Pong("p", 2.5) in page.messages
    assert isinstance(page.messages[0], Welcome)
    assert not hub.cancel(task.id)
    assert not hub.cancel("no such task")
    go.set()


def test_what_is_not_for_a_board_is_counted(hub: Hub, manager: AsyncToolManager, go: threading.Event) -> None:
    board = hub.declare(make(manager, go), "cell-1")
    page = Page(hub, board)
    page.say(Mic("p", 0, 16000))
    page.say(Ping("p", 1.0))
    page.until(lambda: Pong("p", 1.0) in page.messages, "the answer")
    assert board.widget.gate.malformed == 1


def test_a_task_of_a_tool_that_no_cell_declared_has_a_board_of_its_own(
    hub: Hub, manager: AsyncToolManager, go: threading.Event
) -> None:
    task = make(manager, go)("sales")
    board = hub.board_for_task(task)
    assert board is not None
    assert hub.board_for_task(task) is board
    page = Page(hub, board)
    go.set()
    page.until(lambda: page.statuses == ["done"], "the end")


def test_tools_that_no_cell_declared_are_adopted_once(hub: Hub, manager: AsyncToolManager, go: threading.Event) -> None:
    train = make(manager, go)
    board = hub.adopt([train], "talk")
    assert board is not None
    assert hub.adopt([train], "talk-2") is None
    assert hub.board_of("train") is board


def test_one_board_shows_everything_also_what_was_before(
    hub: Hub, manager: AsyncToolManager, go: threading.Event
) -> None:
    train = make(manager, go)
    hub.declare(train, "cell-1")
    first = train("a")
    everything = hub.board_of_everything()
    page = Page(hub, everything)
    second = train("b")
    page.until(lambda: set(page.rows) == {first.id, second.id}, "both rows")
    assert hub.task("2") is second
    assert hub.task(first.id) is first
    go.set()


def test_a_cell_without_an_id_is_known_by_its_run(hub: Hub) -> None:
    assert hub.cell() == "cell-1"
    hub.shell.metadata = {}
    assert hub.cell() == "m-1"


def test_closing_leaves_the_rows_in_the_file_without_a_widget(
    monkeypatch: pytest.MonkeyPatch, manager: AsyncToolManager, go: threading.Event
) -> None:
    monkeypatch.setattr(widget_module, "built_text", lambda name: "")
    shell = Shell()
    hub = Hub(shell)
    hub.open()
    hub.declare(make(manager, go), "cell-1").show()
    hub.close()
    assert set(shell.published[-1]["data"]) == {"text/plain", "text/html"}
    assert shell.published[-1]["update"] is True
    assert not hub.loop.running


def test_the_switch_interval_is_short_while_anybody_needs_it_and_restored_by_the_last() -> None:
    before, interval = sys.getswitchinterval(), SwitchInterval()
    with interval.shortened():
        with interval.shortened():
            assert sys.getswitchinterval() == pytest.approx(0.0005)
        assert interval.fast
        assert sys.getswitchinterval() == pytest.approx(0.0005)
    assert not interval.fast
    assert sys.getswitchinterval() == pytest.approx(before)


def test_a_shorter_interval_is_left_as_it_is() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    try:
        with SwitchInterval().shortened():
            assert sys.getswitchinterval() == pytest.approx(0.0001, rel=0.05)
    finally:
        sys.setswitchinterval(before)


def test_results_are_put_into_a_variable_where_that_is_asked_for(hub: Hub, manager: AsyncToolManager) -> None:
    def square(number: int) -> int:
        """Square."""
        return number * number

    tool = AsyncTool(square, manager)
    hub.declare(tool, "cell-1")
    hub.name_results("square", "squared")
    assert tool(3).result(PATIENCE_S) == 9
    assert hub.shell.user_ns == {"squared": 9}
    hub.name_results("square", None)
    assert tool(4).result(PATIENCE_S) == 16
    assert hub.shell.user_ns == {"squared": 9}
