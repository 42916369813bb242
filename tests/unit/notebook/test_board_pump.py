"""BoardPump with fake boards and tasks, in virtual time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from backchannel.notebook.board import Board
from backchannel.notebook.board_pump import BoardPump
from backchannel.notebook.board_state import BoardRows
from tests.support.virtual_time import virtual_time


class Task:
    def __init__(self, number: int) -> None:
        self.id = f"{number:08x}"
        self.status = "running"
        self.count = 0
        self.elapsed = 0.0

    def done(self) -> bool:
        return self.status != "running"

    @property
    def progress(self) -> Any:
        return SimpleNamespace(done=self.count, total=100, fraction=self.count / 100, eta_s=None, message="")

    def snapshot(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "done": self.count,
            "total": 100,
            "fraction": self.count / 100,
        } | {
            "eta_s": None,
            "elapsed_s": self.elapsed,
            "message": "",
        }


class FakeBoard:
    """A board's rows, without widget and output."""

    move = Board.move

    def __init__(self) -> None:
        self.rows = BoardRows()
        self._reruns = SimpleNamespace(remark=lambda task: ("", False), row=Task.snapshot)
        self.sent: list[tuple[float, int]] = []
        self.output = SimpleNamespace(changed=lambda: None)

    def put(self, task: Task) -> None:
        self.rows.put(task.snapshot())

    def send(self, now: float) -> int:
        message = self.rows.message(now)
        self.sent.append((now, len(message.rows) + len(message.moves)))
        return self.sent[-1][1]

    def next_save(self) -> None:
        return None


def pump(*boards: FakeBoard, place: Any = None) -> BoardPump:
    loop = asyncio.get_running_loop()
    shown: Any = list(boards)
    return BoardPump(lambda: shown, place or (lambda task: shown[:1]), loop.call_soon, loop.time)


@virtual_time
async def test_a_thousand_tasks_with_twenty_updates_a_second_cost_few_messages() -> None:
    board = FakeBoard()
    line, tasks = pump(board), [Task(number) for number in range(1000)]
    for task in tasks:
        line.note(task, "started")  # type: ignore[arg-type]
    await asyncio.sleep(1)
    board.sent.clear()
    for _ in range(100):
        for task in tasks:
            task.count += 1
            line.note(task, "progressed")  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
    assert 25 <= len(board.sent) <= 40
    assert sum(rows for _, rows in board.sent) <= 6500 * 5
    await asyncio.sleep(1)
    assert {row["done"] for row in board.rows.rows} == {100}
    line.stop()


@virtual_time
async def test_all_boards_together_send_at_most_thirty_messages_a_second_and_none_starves() -> None:
    boards = [FakeBoard() for _ in range(5)]
    tasks = [Task(number) for number in range(5)]
    home = {task.id: [board] for task, board in zip(tasks, boards, strict=True)}
    line = pump(*boards, place=lambda task: home[task.id])
    for task in tasks:
        line.note(task, "started")  # type: ignore[arg-type]
    for _ in range(400):
        for task in tasks:
            task.count += 1
            line.note(task, "progressed")  # type: ignore[arg-type]
        await asyncio.sleep(0.005)
    counts = [len(board.sent) for board in boards]
    assert sum(counts) <= 62
    assert min(counts) >= 8
    line.stop()


@virtual_time
async def test_a_lone_update_goes_out_at_once_and_the_end_is_never_missed() -> None:
    board, task = FakeBoard(), Task(1)
    line = pump(board)
    line.note(task, "started")  # type: ignore[arg-type]
    await asyncio.sleep(0.001)
    assert len(board.sent) == 1
    task.count = 50
    line.note(task, "progressed")  # type: ignore[arg-type]
    task.status = "done"
    line.note(task, "finished")  # type: ignore[arg-type]
    await asyncio.sleep(1)
    assert board.rows.rows[0]["status"] == "done"
    assert board.rows.next_due() is None
    line.stop()


@virtual_time
async def test_a_running_task_that_reports_nothing_still_shows_its_time() -> None:
    board, task = FakeBoard(), Task(1)
    line = pump(board)
    line.note(task, "started")  # type: ignore[arg-type]
    await asyncio.sleep(0.1)
    task.elapsed = 7.0
    await asyncio.sleep(2.0)
    assert board.rows.rows[0]["elapsed_s"] == 7.0
    line.stop()


@virtual_time
async def test_of_a_thousand_silent_tasks_each_shows_its_time_by_and_by() -> None:
    board, tasks = FakeBoard(), [Task(number) for number in range(1000)]
    line = pump(board)
    for task in tasks:
        line.note(task, "started")  # type: ignore[arg-type]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.elapsed = 7.0
    await asyncio.sleep(6.5)
    assert {row["elapsed_s"] for row in board.rows.rows} == {7.0}
    assert sum(rows for _, rows in board.sent) < 1000 + 7 * 200 + 400
    line.stop()


@virtual_time
async def test_nothing_is_sent_while_nothing_happens() -> None:
    board, task = FakeBoard(), Task(1)
    line = pump(board)
    task.status = "done"
    line.note(task, "finished")  # type: ignore[arg-type]
    await asyncio.sleep(1)
    sent = len(board.sent)
    await asyncio.sleep(60)
    assert len(board.sent) == sent
    line.stop()
