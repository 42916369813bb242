"""The magics in a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from .front_end import Cell, FrontEnd, Message

pytestmark = pytest.mark.kernel

TRAIN = '''%%async_tool
import threading
from backchannel import track
go = threading.Event()
def train(dataset: str, epochs: int = 3) -> str:
    """Train the model."""
    go.wait(20)
    for epoch in track(range(epochs), "epochs"):
        pass
    return f"{dataset}: ok"
'''


@pytest.fixture
def notebook(front_end: FrontEnd) -> FrontEnd:
    assert front_end.run("%load_ext backchannel").error == ""
    return front_end


@pytest.fixture
def reloaded(shared_front_end: FrontEnd) -> FrontEnd:
    shared_front_end.log.clear()
    shared_front_end.run("%reset -f")
    assert shared_front_end.run("%reload_ext backchannel").error == ""
    return shared_front_end


def display(cell: Cell) -> dict[str, str]:
    data = [item["content"]["data"] for item in cell.messages if item["msg_type"] == "display_data"]
    assert len(data) == 1
    return dict(data[0])


def test_a_tool_of_a_cell_may_want_to_be_confirmed(reloaded: FrontEnd) -> None:
    assert reloaded.run(TRAIN.replace("%%async_tool", "%%async_tool --confirm"), cell="declares").error == ""
    assert reloaded.run("print(train.confirm)").text == "True\n"


def test_the_result_of_a_tool_may_get_a_name(reloaded: FrontEnd) -> None:
    cell = '%%async_tool --result-as scores\ndef fit(n: int) -> list[int]:\n    """Fit."""\n    return [n]'
    assert reloaded.run(cell, cell="declares").error == ""
    assert reloaded.run("await fit(3).ended(); print(scores)").text == "[3]\n"
    assert "cannot be the name" in reloaded.run(cell.replace("scores", "2x"), cell="declares").error
    assert "take the place" in reloaded.run(cell.replace("scores", "fit"), cell="declares").error


def test_a_cell_becomes_a_tool_and_shows_its_runs_in_place_and_in_the_file(notebook: FrontEnd) -> None:
    cell = notebook.run(TRAIN, cell="declares")
    assert (cell.text, cell.error) == ("", "")
    shown = display(cell)
    assert shown["text/plain"].startswith("No runs yet.")
    board = notebook.widget("BoardWidget")
    assert shown["application/vnd.backchannel.view+json"] == {"model_id": board}
    notebook.send(board, {"k": "hello", "client": "p", "version": 1, "lab": True})
    notebook.told(board, "welcome")
    notebook.run('task = train("sales")', cell="other")
    row = notebook.told(board, "rows")["rows"][0]
    assert (row["label"], row["tool"], row["number"]) == ("train sales", "train", 1)
    assert notebook.run("go.set(); task.result(20)").error == ""

    def ended() -> list[str]:
        return [
            item["status"]
            for message in notebook.log
            if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == board
            for item in message["content"]["data"]["content"].get("rows", [])
            if item["status"] == "done" and item["text"] == "sales: ok"
        ]

    notebook.until(ended, "the row to be done")

    def saved() -> list[str]:
        updates = [item["content"]["data"] for item in notebook.log if item["msg_type"] == "update_display_data"]
        return [data["text/html"] for data in updates if "sales: ok" in data.get("text/html", "")]

    assert "100 %" in notebook.until(saved, "the saved output")[-1]


def test_without_our_extension_the_file_keeps_html_only(notebook: FrontEnd) -> None:
    notebook.run(TRAIN)
    board = notebook.widget("BoardWidget")
    notebook.send(board, {"k": "hello", "client": "p", "version": 1, "lab": False})
    notebook.told(board, "welcome")
    notebook.run('go.set(); train("sales").result(20)')

    def saved() -> list[set[str]]:
        updates = [item["content"]["data"] for item in notebook.log if item["msg_type"] == "update_display_data"]
        return [set(data) for data in updates if "sales: ok" in data["text/plain"]]

    assert notebook.until(saved, "the saved output")[-1] == {"text/plain", "text/html"}


def test_a_board_that_was_quiet_for_long_keeps_its_widget_when_a_run_begins(notebook: FrontEnd) -> None:
    assert notebook.run("from backchannel.notebook.pages import Pages; Pages.FORGET_S = 0.5").error == ""
    notebook.run(TRAIN)
    board = notebook.widget("BoardWidget")
    notebook.send(board, {"k": "hello", "client": "p", "version": 1, "lab": True})
    notebook.send(board, {"k": "ack", "client": "p", "seq": 0, "version": notebook.told(board, "welcome")["version"]})
    notebook.run("import time; time.sleep(0.6)")
    notebook.run('go.set(); train("sales").result(20)')
    version = notebook.told(board, "rows")["version"]
    notebook.send(board, {"k": "ack", "client": "p", "seq": 0, "version": version})

    def saved() -> list[set[str]]:
        updates = [item["content"]["data"] for item in notebook.log if item["msg_type"] == "update_display_data"]
        return [set(data) for data in updates if "sales: ok" in data["text/plain"]]

    assert "application/vnd.backchannel.view+json" in notebook.until(saved, "the saved output")[-1]


def test_a_page_that_keeps_outputs_is_sent_them_and_the_results_also_when_it_comes_later(notebook: FrontEnd) -> None:
    notebook.run(FRAME, cell="declares")
    board = notebook.widget("BoardWidget")
    notebook.send(board, {"k": "hello", "client": "p", "version": 1, "keeps": True})
    own = notebook.told(board, "output", beside="")
    notebook.run('task = train("sales"); await task.ended()')

    def given(client: str) -> list[Message]:
        contents = [item["content"]["data"].get("content") or {} for item in notebook.log if "data" in item["content"]]
        return [
            content
            for content in contents
            if (content.get("k"), content.get("to"), content.get("beside")) == ("output", client, own["id"])
        ]

    name, frame = notebook.until(lambda: given("")[1:] and given(""), "the result")
    assert name["data"]["text/plain"] == "Task 1, train sales:"
    assert "dataframe" in frame["data"]["text/html"]
    notebook.send(board, {"k": "hello", "client": "later", "version": 1, "keeps": True})
    again = notebook.until(lambda: given("later")[1:] and given("later"), "the result for another page")
    assert [item["id"] for item in again] == [name["id"], frame["id"]]
    displayed = [item for item in notebook.log if item["msg_type"] in ("display_data", "update_display_data")]
    assert len(displayed) == 1


FRAME = '''%%async_tool --timeout 600 --retries 2 --backoff 0 --retry-on ConnectionError --milestones quarters
import pandas as pd
from backchannel import track
tried = []
def train(dataset: str, epochs: int = 20) -> pd.DataFrame:
    """Train the demand model and return its scores."""
    tried.append(dataset)
    if len(tried) < 3:
        raise ConnectionError("no data")
    for epoch in track(range(epochs), "epochs"):
        pass
    return pd.DataFrame({"epoch": range(epochs), "error": 0.04})
'''


def test_a_frame_is_declared_tried_again_checked_and_shown_as_a_cell_shows_it(reloaded: FrontEnd) -> None:
    pytest.importorskip("pandas")
    cell = reloaded.run(FRAME, cell="declares")
    assert (cell.text, cell.error) == ("", "")
    done = reloaded.run('task = train("sales"); frame = task.result(20); print(task.attempts, frame.shape)')
    assert done.text == "3 (20, 2)\n"

    def shown() -> list[str]:
        return [
            item["content"]["data"]["text/html"]
            for item in cell.messages
            if item["msg_type"] == "display_data" and "dataframe" in item["content"]["data"].get("text/html", "")
        ]

    assert "0.04" in reloaded.until(shown, "the frame under the board")[0]


PLOT = '''%%async_tool
import threading
import matplotlib.pyplot as plt
go, drawn = threading.Event(), threading.Event()
def plot(name: str):
    """Plot."""
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    drawn.set()
    go.wait(20)
    return figure
'''


def test_a_figure_of_a_task_is_shown_under_its_board_and_in_no_other_cell(notebook: FrontEnd) -> None:
    pytest.importorskip("matplotlib")

    def pictures(cell: Cell) -> list[str]:
        return [item["msg_type"] for item in cell.messages if "image/png" in item["content"].get("data", {})]

    assert notebook.run("import matplotlib.pyplot as plt", cell="imports").error == ""
    cell = notebook.run(PLOT, cell="declares")
    assert cell.error == ""
    assert pictures(notebook.run('task = plot("x"); drawn.wait(20)', cell="calls")) == []
    mine = notebook.run("_ = plt.plot([3, 4])", cell="mine")
    assert pictures(mine) == ["display_data"]
    assert pictures(notebook.run("go.set(); _ = task.result(20)", cell="waits")) == []
    notebook.until(lambda: pictures(cell) == ["display_data"], "the figure under the board")
    assert pictures(notebook.run("task.value.axes[0].get_title()", cell="looks")) == []


def test_the_help_of_the_magic_lists_the_options(reloaded: FrontEnd) -> None:
    reloaded.run("help = get_ipython().object_inspect('%%async_tool')")
    said = reloaded.run("print(help['docstring'])").text
    for option in ("--retries", "--on-duplicate", "--runner", "--milestones", "--takes-results"):
        assert option in said


def test_cancel_by_button_number_and_all(notebook: FrontEnd) -> None:
    notebook.run(TRAIN)
    board = notebook.widget("BoardWidget")
    notebook.run('tasks = [train("a"), train("b"), train("c")]')
    row = notebook.told(board, "rows")["rows"][0]
    notebook.send(board, {"k": "cancel", "client": "p", "task": row["id"]})
    waited = notebook.run("tasks[0].wait(20); print(tasks[0].status)")
    assert waited.text == "cancelled\n"
    assert notebook.run("%tasks cancel 2").text == "Task 2 was asked to stop.\n"
    assert notebook.run("%tasks cancel all").text == "Task 3 was asked to stop.\n"
    assert notebook.run("%tasks cancel 3").text == "Task 3 has ended already.\n"
    assert notebook.run("%tasks cancel all").text == "No tasks are running.\n"
    assert "there is no task 9" in notebook.run("%tasks cancel 9").error
    assert "%tasks cancel NUMBER" in notebook.run("%tasks stop").error
    everything = display(notebook.run("%tasks"))
    assert everything["text/plain"].count("cancelled") >= 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def train(:", "is not Python"),
        ("x = 1", "no function"),
        ("def a(): ...\ndef b(): ...", "which function is the tool: a, b"),
        ("def train(): ...\nawait train()", "awaits outside"),
        ("def train(): ...\n1 / 0", "the tool 'train' stays as it was"),
        ("def train(*, x: (lambda: 1)): ...\nraise SystemExit", "stays as it was"),
    ],
)
def test_a_definition_that_fails_leaves_the_old_tool(reloaded: FrontEnd, body: str, said: str) -> None:
    reloaded.run(TRAIN)
    reloaded.run("old = train")
    assert said in reloaded.run("%%async_tool\n" + body).error
    assert reloaded.run("print(train is old, len(get_ipython().user_ns['train'].tool_spec['name']))").text == "True 5\n"


def test_a_syntax_error_is_shown_where_it_is(reloaded: FrontEnd) -> None:
    cell = reloaded.run("%%async_tool\ndef train(:\n    pass")
    assert [item["content"]["ename"] for item in cell.messages if item["msg_type"] == "error"] == ["SyntaxError"]
    assert "UsageError: %%async_tool: the cell is not Python; no tool was made or changed." in cell.error


def test_a_bare_function_works_and_what_is_missing_is_said(reloaded: FrontEnd) -> None:
    cell = reloaded.run("%%async_tool --name go_now\ndef go(x): return x")
    assert cell.error == ""
    assert "no docstring" in cell.text
    assert "x without a type" in cell.text
    assert reloaded.run("print(go([1]).result(20), go.tool_name)").text == "[1] go_now\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--timeout soon", "--timeout must be more than 0 seconds, not 'soon'"),
        ("--announce loudly", "--announce must be when_free, at_once or never"),
        ("--workers 0", "--workers must be a whole number, 1 or more"),
        ("--runner nowhere", "--runner nowhere: "),
        ("--x", "--x is not known here"),
    ],
)
def test_a_wrong_option_is_said_in_words(reloaded: FrontEnd, line: str, said: str) -> None:
    error = reloaded.run(f"%%async_tool {line}\ndef go(): ...").error
    assert error.startswith("UsageError")
    assert said in error


def test_a_plain_async_tool_shows_its_task_under_the_cell_that_called_it(notebook: FrontEnd) -> None:
    notebook.run("from backchannel import async_tool\n@async_tool\ndef go(x: int) -> int: return x + 1")
    cell = notebook.run("task = go(1)\ntask")
    assert "go" in display(cell)["text/plain"]
    notebook.run("task.result(20)")
    declared = notebook.run(TRAIN + "go.set()")
    assert declared.error == ""
    assert "under the cell that declared train" in notebook.run('train("a")').text


def test_reloading_the_extension_starts_afresh_and_tasks_go_on(notebook: FrontEnd) -> None:
    notebook.run(TRAIN)
    notebook.run('task = train("sales")')
    assert notebook.run("%reload_ext backchannel").error == ""
    assert notebook.run("go.set(); print(task.result(20))").text == "sales: ok\n"
    assert notebook.run(TRAIN).error == ""
    assert notebook.run('go.set(); print(train("again").result(20))').text == "again: ok\n"
    assert notebook.run("%unload_ext backchannel").error == ""
    assert "not found" in notebook.run("%talk").text + notebook.run("%talk").error


def test_tasks_of_a_kernel_that_was_killed_are_shown_by_the_next_and_run_again(
    notebook: FrontEnd, tmp_path: Path
) -> None:
    keep = f"%tasks --ledger {tmp_path / 'tasks.jsonl'}"
    notebook.run(TRAIN, cell="declares")
    assert notebook.run(keep).error == ""
    assert notebook.run('go.set(); train("sales").result(20); go.clear(); train("more").started').error == ""
    process = notebook.manager.provisioner.process
    process.kill()
    process.wait()
    other = FrontEnd()
    try:
        other.run("%load_ext backchannel")
        shown = display(other.run(keep))["text/plain"].splitlines()
        assert shown[0].endswith(": sales: ok")
        assert "lost, declare train to run it again" in shown[1]
        assert "run its cell" in other.run("%tasks run 2").error
        other.run(TRAIN, cell="declares")
        assert other.run("%tasks run 2").text == "Task 2 runs again as task 3.\n"
        assert other.run("go.set(); print(train.manager.task(3).result(20))").text == "more: ok\n"
        other.run("%tasks")

        def saved() -> bool:
            updates = [item["content"]["data"] for item in other.log if item["msg_type"] == "update_display_data"]
            return any("run again as task 3" in data["text/plain"] for data in updates)

        other.until(saved, "the row to say that it was run again")
    finally:
        other.close()


def test_a_kernel_with_a_running_task_shuts_down(notebook: FrontEnd) -> None:
    notebook.run(TRAIN)
    notebook.run('task = train("sales")')
    process = notebook.manager.provisioner.process
    notebook.close()
    assert process.poll() == 0
