"""After a restart, what goes on in AWS is found again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backchannel import AsyncToolManager
from backchannel.aws import (
    DynamoDBResult,
    athena_query_tool,
    batch_job_tool,
    glue_job_tool,
    lambda_tool,
    step_functions_tool,
)
from backchannel.errors import TaskLostError
from backchannel.tasks import AsyncTool, Task

from .fakes import FakeClient

WAIT = 10.0
ARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:nightly"

Make = Callable[..., AsyncTool]


def athena(client: FakeClient, **options: Any) -> AsyncTool:
    return athena_query_tool("d", client=client, **options)


def batch(client: FakeClient, **options: Any) -> AsyncTool:
    return batch_job_tool("train", "queue", client=client, **options)


def glue(client: FakeClient, **options: Any) -> AsyncTool:
    return glue_job_tool("load", client=client, **options)


def executions(client: FakeClient, **options: Any) -> AsyncTool:
    return step_functions_tool(ARN, client=client, **options)


def event(client: FakeClient, **options: Any) -> AsyncTool:
    return lambda_tool("f", mode="event", result=DynamoDBResult("results", client=client), client=client, **options)


RUNS: list[tuple[Make, dict[str, Any], dict[str, Any], Any]] = [
    (
        athena,
        {"start_query_execution": {"QueryExecutionId": "q"}},
        {
            "get_query_execution": {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}},
            "get_query_results": {"ResultSet": {"Rows": [], "ResultSetMetadata": {}}},
        },
        {"columns": [], "rows": [], "more": False, "scanned_bytes": 0},
    ),
    (
        batch,
        {"submit_job": {"jobId": "j"}},
        {"describe_jobs": {"jobs": [{"status": "SUCCEEDED"}]}},
        {"job_id": "j", "status": "SUCCEEDED", "log_stream": None},
    ),
    (
        glue,
        {"start_job_run": {"JobRunId": "r"}},
        {"get_job_run": {"JobRun": {"JobRunState": "SUCCEEDED", "ExecutionTime": 3}}},
        {"job_run_id": "r", "status": "SUCCEEDED", "execution_s": 3},
    ),
    (
        executions,
        {"start_execution": {"executionArn": f"{ARN}:x"}},
        {"describe_execution": {"status": "SUCCEEDED", "output": '{"rows": 3}'}},
        {"rows": 3},
    ),
    (event, {"invoke": {}}, {"get_item": {"Item": {"result": {"N": "7"}}}}, 7),
]
NAMES = [run[0].__name__ for run in RUNS]


def started(path: Path, make: Make, answers: dict[str, Any]) -> str:
    """Start it in a manager that is left behind as soon as nothing runs in it; returns the task's id."""
    waits = threading.Event()
    manager = AsyncToolManager(ledger=path)
    assert manager.ledger is not None
    written = manager.ledger.deferred

    def note(task: Task, deferred: Any) -> None:
        written(task, deferred)
        waits.set()

    manager.ledger.deferred = note  # type: ignore[method-assign]
    tool = make(FakeClient(**answers), manager=manager, poll_s=1e6)
    arguments = {"sql": "SELECT 1"} if make is athena else {}
    task = tool(**arguments)
    assert waits.wait(WAIT)
    manager.ledger.close()
    manager.resolve(task)  # nobody asks any more; the ledger does not hear of it
    return task.id


@pytest.mark.parametrize(("make", "start", "end", "value"), RUNS, ids=NAMES)
def test_what_runs_in_aws_is_found_again(
    tmp_path: Path, make: Make, start: dict[str, Any], end: dict[str, Any], value: Any
):
    path = tmp_path / "tasks.jsonl"
    task_id = started(path, make, start)
    with AsyncToolManager(ledger=path) as manager:
        task = manager.task(task_id)
        assert task is not None
        assert task.status == "running"
        client = FakeClient(**end)
        make(client, manager=manager, poll_s=0.01)  # the cell with the tool is run again
        assert task.result(WAIT) == value
        assert not {"start_query_execution", "submit_job", "start_job_run", "start_execution", "invoke"} & set(
            client.names()
        )


def test_an_event_is_looked_for_under_the_id_that_the_function_got(tmp_path: Path):
    path = tmp_path / "tasks.jsonl"
    sent: list[Any] = []
    started(path, event, {"invoke": lambda **parameters: sent.append(json.loads(parameters["Payload"])) or {}})
    client = FakeClient(get_item={"Item": {"result": {"S": "here"}}})
    with AsyncToolManager(ledger=path) as manager:
        event(client, manager=manager, poll_s=0.01)
        assert manager.tasks[0].result(WAIT) == "here"
    assert client.calls[0][1]["Key"] == {"id": {"S": sent[0]["task_id"]}}


@pytest.mark.parametrize(
    ("make", "start", "running", "stops"),
    [
        (
            athena,
            RUNS[0][1],
            {"get_query_execution": {"QueryExecution": {"Status": {"State": "RUNNING"}}}},
            "stop_query_execution",
        ),
        (batch, RUNS[1][1], {"describe_jobs": {"jobs": [{"status": "RUNNING"}]}}, "terminate_job"),
        (glue, RUNS[2][1], {"get_job_run": {"JobRun": {"JobRunState": "RUNNING"}}}, "batch_stop_job_run"),
    ],
    ids=["athena", "batch", "glue"],
)
def test_what_was_found_again_is_stopped_on_cancel(
    tmp_path: Path, make: Make, start: dict[str, Any], running: dict[str, Any], stops: str
):
    path = tmp_path / "tasks.jsonl"
    started(path, make, start)
    looked, stopped = threading.Event(), threading.Event()
    ((look, answer),) = running.items()
    client = FakeClient(
        **{look: lambda **parameters: looked.set() or answer, stops: lambda **parameters: stopped.set() or {}}
    )
    manager = AsyncToolManager(ledger=path)
    make(client, manager=manager, poll_s=0.01)
    (task,) = manager.tasks
    assert looked.wait(WAIT)
    task.cancel()
    assert stopped.wait(WAIT)
    manager.shutdown()


def test_a_tool_that_does_not_know_the_run_says_so(tmp_path: Path):
    path = tmp_path / "tasks.jsonl"
    started(path, batch, RUNS[1][1])
    with AsyncToolManager(ledger=path) as manager:
        glue_job_tool("x", name="train", client=FakeClient(), manager=manager)
        (task,) = manager.tasks
        assert task.wait(WAIT)
        assert isinstance(task.error, TaskLostError)
