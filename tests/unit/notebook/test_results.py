"""Values of tasks as a cell would show them."""

from __future__ import annotations

import contextvars
import threading
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

from backchannel.notebook.results import Form, RichResults, rich_form
from backchannel.tasks import AsyncToolManager, Task

PATIENCE_S = 10


class Table:
    """Has a form of its own, as a DataFrame has."""

    def __init__(self, html: str = "<table></table>") -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html


class Shell:
    """The parts of IPython's shell that show a value."""

    def __init__(self) -> None:
        self.display_formatter = DisplayFormatter()
        self.display_pub = self
        self.cell = "cell-1"
        self.published: list[dict[str, Any]] = []
        self.names: list[dict[str, Any]] = []
        self.came = threading.Semaphore(0)
        self._parent: contextvars.ContextVar[Any] = contextvars.ContextVar("parent")

    def get_parent(self) -> Any:
        return self.cell

    def set_thread_parent(self, parent: Any) -> Any:
        return self._parent.set(parent)

    def reset_thread_parent(self, token: Any) -> None:
        self._parent.reset(token)

    def publish(self, **what: Any) -> None:
        entry = {**what, "cell": self._parent.get(None)}
        if what["transient"]["display_id"].endswith("-name"):
            self.names.append(entry)
            return
        self.published.append(entry)
        self.came.release()


@pytest.fixture
def shell() -> Shell:
    return Shell()


def task_with(value: Any) -> Task:
    with AsyncToolManager() as manager:
        return manager.start("work", lambda: value, {})


def test_a_value_with_a_form_of_its_own_is_shown_in_the_cell_of_its_board(shell: Shell) -> None:
    results = RichResults(shell)
    results.show()
    shell.cell = "cell-2"
    task = task_with(Table())
    results.put(task)
    results.put(task)
    assert shell.came.acquire(timeout=PATIENCE_S)
    results.put(task_with(Table("<b>second</b>")))
    assert shell.came.acquire(timeout=PATIENCE_S)
    first, second = shell.published
    assert first["data"]["text/html"] == "<table></table>"
    assert (first["cell"], first["update"]) == ("cell-1", False)
    assert second["data"]["text/html"] == "<b>second</b>"
    assert first["transient"] != second["transient"]


def test_above_a_result_stands_which_run_it_is_of_as_text(shell: Shell) -> None:
    results = RichResults(shell)
    results.show()
    with AsyncToolManager() as manager:
        task = manager.start("work", Table, {}, label="work on <b>sales</b>")
    results.put(task)
    assert shell.came.acquire(timeout=PATIENCE_S)
    (name,), (result,) = shell.names, shell.published
    assert name["data"]["text/plain"] == "Task 1, work on <b>sales</b>:"
    assert "work on &lt;b&gt;sales&lt;/b&gt;" in name["data"]["text/html"]
    assert (name["cell"], name["update"]) == (result["cell"], result["update"])
    assert name["transient"]["display_id"] == result["transient"]["display_id"] + "-name"


def test_after_many_the_newest_takes_the_place_of_the_last(shell: Shell) -> None:
    results = RichResults(shell)
    results.show()
    for number in range(results.MOST):
        results.put(task_with(f"text {number}"))
    for number in range(results.MOST + 2):
        results.put(task_with(Table(f"<p>{number}</p>")))
        assert shell.came.acquire(timeout=PATIENCE_S)
    assert [entry["update"] for entry in shell.published] == [False] * results.MOST + [True, True]
    assert len({entry["transient"]["display_id"] for entry in shell.published}) == results.MOST


class ShowsItself(Table):
    def _ipython_display_(self) -> None:
        raise AssertionError("was shown")


@pytest.mark.parametrize(
    "value", ["<b>text</b>", 3, None, [1], {"a": "<b>"}, b"x", Table, ShowsItself(), Table("x" * 999)]
)
def test_text_and_what_shows_itself_and_what_is_large_is_not_shown(shell: Shell, value: Any) -> None:
    assert rich_form(shell, value, 500) is None


def test_without_a_cell_or_a_value_nothing_is_shown(shell: Shell) -> None:
    results = RichResults(shell)
    results.put(task_with(Table()))
    results.show()
    with AsyncToolManager() as manager:
        failed = manager.start("work", lambda: {}["x"], {})
    results.put(failed)
    results.put(task_with(Table("last")))
    assert shell.came.acquire(timeout=PATIENCE_S)
    assert [entry["data"]["text/html"] for entry in shell.published] == ["last"]


def test_an_older_kernel_shows_nothing_in_another_cell(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Shell, "set_thread_parent")
    results = RichResults(shell)
    results.show()
    results._publish("work", Table(), "cell-1", [])
    assert shell.published == []


def test_a_publisher_that_fails_ends_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**what: Any) -> None:
        raise OSError("closed")

    monkeypatch.setattr(shell, "publish", fail)
    RichResults(shell)._publish("work", Table(), "cell-1", [])
    assert "a result was not shown" in caplog.text
    assert shell._parent.get(None) is None


def test_a_page_that_keeps_outputs_is_given_the_results_in_place_of_the_cell(shell: Shell) -> None:
    results = RichResults(shell)
    results.show()
    kept: list[Form] = []
    came = threading.Semaphore(0)
    results.put(task_with(Table()), lambda form: kept.append(form) or came.release())
    for _ in range(2):
        assert came.acquire(timeout=PATIENCE_S)
    name, value = kept
    assert name.id == f"{value.id}-name"
    assert value.data["text/html"] == "<table></table>"
    assert results.forms == kept
    assert shell.published == []


def test_every_output_is_marked_so_that_a_page_finds_it_after_a_reload(shell: Shell) -> None:
    results = RichResults(shell)
    results.show()
    results.put(task_with(Table()))
    assert shell.came.acquire(timeout=PATIENCE_S)
    for entry in (*shell.names, *shell.published):
        assert entry["metadata"]["backchannel"] == {"output": entry["transient"]["display_id"]}


def test_what_is_remembered_for_a_page_that_comes_is_bounded_and_of_this_showing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RichResults, "LIMIT", 3000)
    results = RichResults(shell)
    results.show()
    for number in range(results.MOST + 2):
        results.put(task_with(Table(f"{number} {'x' * 1000}")))
        assert shell.came.acquire(timeout=PATIENCE_S)
    results.put(task_with(Table("last")))
    assert shell.came.acquire(timeout=PATIENCE_S)
    assert 0 < sum(len(str(form.data)) for form in results.forms) < 4000
    assert results.forms[-1].data["text/html"] == "last"
    results.show()
    assert results.forms == []
