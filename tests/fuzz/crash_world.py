"""What can happen to the tasks of a manager with a ledger whose process may end at any moment, also in mid-write."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from backchannel.errors import TaskRefusedError
from backchannel.tasks import AsyncTaskResult, Task, ledger
from backchannel.tasks.ledger import Ledger

from .agent_world import AgentWorld
from .task_setting import LIMITS, pick
from .task_world import WHICH


class Written:
    """What a ledger says of each task, read without the code that is tested."""

    def __init__(self, data: bytes) -> None:
        self.created: set[str] = set()
        self.ended: dict[str, dict[str, Any]] = {}
        self.told: set[str] = set()
        self.announced: set[str] = set()
        self.open: set[str] = set()
        self.lines = 0
        self.last = {"kind": "", "id": ""}
        for line in data.splitlines():
            # The last one may be cut off.
            with contextlib.suppress(ValueError):
                self.read(json.loads(line)["entry"])

    def read(self, entry: dict[str, Any]) -> None:
        self.last = entry
        self.lines += 1
        match entry["kind"].removeprefix("task."):
            case "created":
                self.created.add(entry["id"])
            case "ended":
                self.ended[entry["id"]] = entry
                if entry.get("told"):
                    self.told.add(entry["id"])
            case "told" if entry.get("told", True):
                self.told.add(entry["id"])
            case "told":
                self.told.discard(entry["id"])
            case "announced":
                self.announced.add(entry["id"])
            case "deferred" if not entry["poll"]:
                self.open.add(entry["id"])


class CrashWorld(AgentWorld):
    """As an `AgentWorld`; besides, its process may end, and another one goes on with the ledger."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("_timers", "_threads"):
            self.patch.setattr(ledger, name, self.timers)
        self.patch.setattr("os.fsync", lambda descriptor: None)
        self.patch.setattr(ledger, "time", SimpleNamespace(time=self.timers.clock, monotonic=self.timers.clock))
        self.folder = tempfile.TemporaryDirectory()
        self.lives = 0
        self.starting = False
        self.again: set[str] = set()
        self.call_ids: dict[str, str | None] = {}

    @property
    def path(self) -> Path:
        return Path(self.folder.name) / f"{self.lives}.jsonl"

    def keeping(self) -> dict[str, Any]:
        return {"ledger": Ledger(self.path, now=self.timers.clock)}

    def note(self, task: Task, kind: str) -> None:
        if kind == "queued":
            self.call_ids[task.id] = task.call_id
        super().note(task, kind)

    def complete(self, result: AsyncTaskResult) -> None:
        # That a task is lost is found when nobody listens yet.
        if not self.starting:
            super().complete(result)

    @precondition(lambda self: self.tasks)
    @rule(cut=st.one_of(st.just(0), st.integers(1, 500)))
    def the_process_ends(self, cut: int) -> None:
        """And another one begins, with what is written; of the last line ``cut`` bytes are not."""
        data = self.path.read_bytes()
        whole, start = Written(data), data.rfind(b"\n", 0, -1) + 1
        lost: dict[str, Any] = {"kind": "", "id": ""}
        if cut and start:
            data = data[: max(start, len(data) - cut)]
        written = Written(data)
        if written.lines < whole.lines:
            lost = whole.last
        self.nothing_was_told_that_is_not_written(whole)
        before = {task.id: task for task in self.tasks}
        self.kill()
        self.forget(lost)
        self.lives += 1
        self.path.write_bytes(data)
        self.begin_anew()
        self.compare(before, written, str(lost.get("id", "")))
        self.open_on(written)

    def nothing_was_told_that_is_not_written(self, written: Written) -> None:
        for agent in self.agents:
            for task_id in (*agent.told.elements(), *agent.tried):
                assert task_id in written.announced, "told, and not written before"
        for task in self.tasks:
            assert task.id in written.created
            assert (task.id in written.ended) == task.done()
            assert (task.id in written.told) == task.delivered

    def kill(self) -> None:
        """Nothing of the old process goes on."""
        old = self.manager
        self.manager = None  # type: ignore[assignment]
        for talk in self.talks:
            talk.close()
        self.threads.settle()
        while self.threads.points:
            self.threads.release(self.threads.points[0], ("die", 0))
        for call in self.calls.values():
            call.cut = call.cut or call.asked.cancel()
        for waiter in [waiter for _, waiter in self.waiters] + self.joins:
            waiter.cancel()
        self.waiters, self.joins, self.replies = [], [], []
        super().go()
        for timer in list(self.timers.pending):
            timer.cancel()
        old.ledger.close()  # type: ignore[union-attr]
        old.on_complete = None

    def forget(self, lost: dict[str, Any]) -> None:
        """The process ended as it wrote this: what follows from it did not happen."""
        task_id = lost.get("id", "")
        match lost["kind"].removeprefix("task."):
            case "token":
                del self.tokens[task_id]
            case "run_again":
                self.again.discard(task_id)
            case "announced":
                for agent in self.agents:
                    agent.tried.discard(task_id)
            case "told":
                for agent in self.agents:
                    agent.told[task_id] = 0
            case "ended" if (call := self.calls.get(self.call_ids.get(task_id) or "")) is not None:
                call.answers, call.cut = [], True

    def begin_anew(self) -> None:
        self.reaction, self.polls, self.closed = None, [], False
        self.failures.clear()
        self.pauses.clear()
        self.inside = None
        self.tasks, self.starting = [], True
        self.make(**self.options)
        self.starting = False
        self.tasks = list(self.manager.tasks)
        for task in self.tasks:
            done = task.done()
            self.kinds[task.id] = ["queued"] + ["started"] * (task.attempts > 0) + ["finished"] * done
            self.completed[task.id] = self.called_back[task.id] = int(done)
            if task.started is not None:
                self.begun[task.id] = task.started
            if not done:
                task.add_done_callback(lambda task=task: self.called_back.update([task.id]))

    def compare(self, before: dict[str, Task], written: Written, lost: str) -> None:
        """What was accepted is known still, and stands as it stood."""
        after = {task.id: task for task in self.tasks}
        assert set(after) == written.created
        assert set(before) - set(after) <= {lost}
        for task_id, task in after.items():
            old = before[task_id]
            assert task.number == old.number
            if task_id in written.ended:
                assert task.status == old.status
                assert task.value == old.value
            elif task_id in written.open:
                assert not task.done()
            else:
                assert task.status == "lost"
            assert task.delivered == (task_id in written.told)

    def open_on(self, written: Written) -> None:
        """The agent of the new process knows nothing; what the old one was given may be known to the user."""
        assert all(task_id in written.told for agent in self.agents for task_id in agent.told.elements())
        self.claims = dict.fromkeys(self.claims)
        self.open(another=True)
        self.agents[-1].tried = written.announced - written.told
        for task in self.tasks:
            if not task.delivered and task.announce != "never":
                self.claims[task.id] = self.talk

    @rule(which=WHICH)
    def somebody_runs_it_again(self, which: int) -> None:
        task = pick([task for task in self.tasks if task.done() and task.restored], which)
        if task is None:
            return
        known = task.tool_name in LIMITS and task.id not in self.again
        fits = set(task.arguments) == {"number"}
        reactions, count = self.reactions, len(self.tasks)
        try:
            again = self.manager.run_again(task)
        except TaskRefusedError as error:
            refusal = str(error)
        else:
            refusal = None
        if refusal is not None:
            full = "tasks wait already" in refusal or "no place for this one" in refusal
            assert not (known and fits) or full or self.closed or self.reactions > reactions, refusal
            return
        assert known
        assert again in self.tasks[count:] or self.manager.tool(task.tool_name).task_options.on_duplicate == "reuse"
        if task.status == "lost":
            self.again.add(task.id)
            with pytest.raises(TaskRefusedError):
                self.manager.run_again(task)

    def is_superseded(self, task: Task) -> bool:
        return task.id in self.again

    def end(self) -> None:
        self.go(5.0)
        super().end()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.folder.cleanup()
