"""docs/tasks.md: its code runs, and it names the options that there are."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from backchannel.events import TaskStatus
from backchannel.tasks import Task
from backchannel.tasks.decorator import ToolOptions
from backchannel.tasks.exit import EXIT_GRACE_S
from backchannel.tasks.options import GRACE_S

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
ELSEWHERE = {"name", "description", "input_schema", "context", "manager"}
WAIT = 10.0


class Job:
    """A job in a cluster that has ended by the time it is looked at."""

    done, total, scores, ended = 3, 3, {"error": 0.04}, True


class Cluster:
    def start(self, what: str, dataset: str) -> str:
        return f"{what}-{dataset}"

    def job(self, job_id: str) -> Job:
        assert job_id == "train-sales"
        return Job()


def test_the_code_of_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mails: list[str] = []
    sent = threading.Event()

    def send_mail(to: str, text: str) -> None:
        mails.append(text)
        sent.set()

    known: dict[str, Any] = {"cluster": Cluster(), "send_mail": send_mail}
    life, looked_at, approved, by_token, ledger = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(life, known)
    assert known["task"].result(WAIT) == {"dataset": "sales", "error": 0.04}
    exec(looked_at.replace("every_s=10", "every_s=0.01"), known)
    assert known["train_on_cluster"]("sales").result(WAIT) == {"error": 0.04}
    exec(approved, known)
    exec(by_token, known)
    task: Task = known["approve"]("plan")
    assert sent.wait(WAIT)
    token = mails[0].rpartition("/")[2]
    assert known["answered"](token, "yes")
    assert task.result(WAIT) == "yes"
    assert not known["answered"](token, "no")
    assert not known["answered"](task.id, "no")
    exec(ledger, known)
    known["manager"].shutdown()
    assert (tmp_path / "tasks.jsonl").exists()


def test_the_page_has_every_option_and_every_state() -> None:
    table = PAGE.partition("| option |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    assert named == set(ToolOptions.__annotations__) - ELSEWHERE
    life = PAGE.partition("## A task's life")[2].partition("| option |")[0]
    for status in TaskStatus.__args__:  # type: ignore[attr-defined]
        assert status in life


def test_the_page_says_the_defaults() -> None:
    assert f"| `grace_s` | {GRACE_S:g} |" in PAGE
    assert EXIT_GRACE_S == 2, "docs/tasks.md: running functions get two seconds to end"
