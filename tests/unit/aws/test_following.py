"""What goes on in AWS is followed while nothing runs here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import exceptions
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel import AsyncToolManager
from backchannel.aws import DynamoDBResult, S3Result, athena_query_tool, glue_job_tool, lambda_tool, run
from backchannel.aws.run import delays
from backchannel.errors import AWSError, TaskFailedError, TaskTimedOutError
from backchannel.tasks import Task
from tests.support.manual_timers import ManualTimers

from .fakes import FakeClient, refusal

WAIT = 10.0
DONE = {"JobRun": {"JobRunState": "SUCCEEDED", "ExecutionTime": 3}}
RUNNING = {"JobRun": {"JobRunState": "RUNNING"}}


@pytest.fixture
def manager() -> Iterator[AsyncToolManager]:
    with AsyncToolManager(max_workers=1) as manager:
        yield manager


def test_what_runs_in_aws_keeps_no_worker(manager: AsyncToolManager):
    ready = threading.Event()
    client = FakeClient(
        start_job_run={"JobRunId": "r"}, get_job_run=lambda **parameters: DONE if ready.is_set() else RUNNING
    )
    tool = glue_job_tool("g", poll_s=0.01, client=client, manager=manager)
    tasks = [tool() for _ in range(20)]
    assert manager.start("local", lambda: "free", {}).result(WAIT) == "free"
    assert [task.done() for task in tasks] == [False] * 20
    ready.set()
    assert [task.result(WAIT)["execution_s"] for task in tasks] == [3] * 20


def test_by_hand_the_plain_function_waits_for_the_value():
    client = FakeClient(start_job_run={"JobRunId": "r"}, get_job_run=[RUNNING, DONE])
    assert glue_job_tool("g", poll_s=0.001, client=client).fn()["job_run_id"] == "r"


def test_first_looks_come_soon_and_then_as_often_as_asked():
    pauses = delays(8.0)
    found = [next(pauses) for _ in range(10)]
    assert found[:3] == [1.0, 1.5, 2.25]
    assert found[-1] == 8.0


def test_a_sign_in_that_ends_is_borne_while_the_user_signs_in_again(manager: AsyncToolManager):
    expired = refusal("ExpiredTokenException")
    client = FakeClient(start_job_run={"JobRunId": "r"}, get_job_run=[RUNNING, *[expired] * 30, DONE])
    said: list[str] = []
    manager.subscribe(lambda task, kind: said.append(task.progress.message), ["progressed"])
    tool = glue_job_tool("g", poll_s=0.0001, client=client, manager=manager)
    assert tool().result(WAIT)["status"] == "SUCCEEDED"
    assert "sign in again" in " ".join(said)


def test_a_sign_in_that_does_not_come_ends_the_task_and_says_what_goes_on(
    manager: AsyncToolManager, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "SIGN_IN_S", 0.01)
    client = FakeClient(start_job_run={"JobRunId": "r"}, get_job_run=refusal("ExpiredTokenException"))
    with pytest.raises(TaskFailedError, match=r"have expired .*sign in again.*run r of the Glue job g goes on"):
        glue_job_tool("g", poll_s=0.001, client=client, manager=manager)().result(WAIT)


LOOKS: dict[str, Any] = {
    "nothing yet": {},
    "progress": {"Item": {"done": {"N": "1"}, "total": {"N": "2"}}},
    "throttled": refusal("ThrottlingException"),
    "no network": exceptions.EndpointConnectionError(endpoint_url="http://x"),
    "AWS's fault": refusal("InternalServerError", status=500),
    "signed out": refusal("ExpiredTokenException"),
    "denied": refusal("AccessDeniedException", status=403),
    "no table": refusal("ResourceNotFoundException"),
    "it failed": {"Item": {"error": {"S": "no data"}}},
    "result": {"Item": {"result": {"N": "7"}}},
}
ENDS = {"denied": "does not allow", "no table": "finds no table", "it failed": "no data", "result": ""}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(LOOKS)), max_size=12))
def test_whatever_looks_find_the_first_that_counts_ends_the_task_and_the_function_ran_once(looks: list[str]):
    looks = [*looks, "result"]
    client = FakeClient(invoke={}, get_item=[LOOKS[look] for look in looks])
    with AsyncToolManager(max_workers=1) as manager:
        place = DynamoDBResult("t", client=client)
        task = lambda_tool("f", mode="event", result=place, poll_s=0.0001, client=client, manager=manager)()
        assert task.wait(WAIT)
    end = next(look for look in looks if look in ENDS)
    if end == "result":
        assert task.value == 7
    else:
        assert ENDS[end] in str(task.error)
        assert ("goes on" in str(task.error)) is (end != "it failed")
    assert client.names().count("invoke") == 1
    assert client.names().count("get_item") == looks.index(end) + 1


def test_what_is_missing_in_a_new_kernel_is_borne_until_it_is_there(manager: AsyncToolManager):
    missing = [exceptions.NoRegionError(), exceptions.NoCredentialsError(), exceptions.ProfileNotFound(profile="x")]
    closed = exceptions.ConnectionClosedError(endpoint_url="http://x")
    client = FakeClient(start_job_run={"JobRunId": "r"}, get_job_run=[*missing, closed, DONE])
    tool = glue_job_tool("g", poll_s=0.001, client=client, manager=manager)
    assert tool().result(WAIT)["status"] == "SUCCEEDED"


def test_rows_that_cannot_be_read_for_a_moment_are_read_again(manager: AsyncToolManager):
    rows = {"ResultSet": {"Rows": [{"Data": [{"VarCharValue": "1"}]}], "ResultSetMetadata": {}}}
    client = FakeClient(
        start_query_execution={"QueryExecutionId": "q"},
        get_query_execution={"QueryExecution": {"Status": {"State": "SUCCEEDED"}}},
        get_query_results=[refusal("ThrottlingException"), refusal("InternalServerError", status=500), rows],
    )
    tool = athena_query_tool("d", poll_s=0.01, client=client, manager=manager)
    assert tool("SELECT 1").result(WAIT)["rows"] == [["1"]]


def ended(task: Task) -> str:
    assert task.wait(WAIT)
    return str(task.error)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (DynamoDBResult("results", client=FakeClient(get_item={})), ["table results", "whose id is"]),
        (S3Result("b", client=FakeClient(get_object=refusal("NoSuchKey"))), ["s3://b/results/", ".json"]),
    ],
    ids=["DynamoDB", "S3"],
)
def test_a_result_that_does_not_come_says_where_to_look(
    manager: AsyncToolManager, monkeypatch: pytest.MonkeyPatch, place: Any, words: list[str]
):
    timers = ManualTimers.installed(monkeypatch)
    tool = lambda_tool("f", mode="event", result=place, timeout=60, client=FakeClient(invoke={}), manager=manager)
    task = tool()
    timers.wait_made(2)  # the time-out, and the first look
    timers.advance(61)
    said = ended(task)
    assert isinstance(task.error, TaskTimedOutError)
    for word in ("time-out of 60 seconds", "log of the function f", task.id, *words):
        assert word in said
    logged(task, "Lambda cannot stop a function: f goes on")


def logged(task: Task, words: str) -> None:
    """Wait until the task's log says this."""
    there = threading.Event()
    end = task.manager.subscribe(
        lambda changed, kind: there.set() if words in " ".join(task.logs) else None, ["logged"]
    )
    if words not in " ".join(task.logs):
        assert there.wait(WAIT)
    end()


def test_a_cancelled_request_says_that_the_function_goes_on(manager: AsyncToolManager):
    called, go = threading.Event(), threading.Event()

    def invoke(**parameters: Any) -> Any:
        called.set()
        assert go.wait(WAIT)
        return refusal("ServiceException", status=500)

    task = lambda_tool("f", client=FakeClient(invoke=invoke), manager=manager)()
    assert called.wait(WAIT)
    task.cancel()
    assert "f goes on until it is done" in " ".join(task.logs)
    assert manager.start("local", lambda: "free", {}).result(WAIT) == "free"
    go.set()


def test_what_was_stopped_is_in_the_log(manager: AsyncToolManager):
    looked = threading.Event()

    def look(**parameters: Any) -> Any:
        looked.set()
        return RUNNING

    client = FakeClient(start_job_run={"JobRunId": "r"}, get_job_run=look, batch_stop_job_run={})
    task = glue_job_tool("g", poll_s=0.01, client=client, manager=manager)()
    assert looked.wait(WAIT)
    task.cancel()
    logged(task, "run r of the Glue job g was asked to stop")


def test_a_task_that_was_cancelled_while_it_started_is_stopped_in_aws(manager: AsyncToolManager):
    starting, go, stopped = threading.Event(), threading.Event(), threading.Event()

    def start(**parameters: Any) -> Any:
        starting.set()
        assert go.wait(WAIT)
        return {"JobRunId": "r"}

    client = FakeClient(start_job_run=start, batch_stop_job_run=lambda **parameters: stopped.set() or {})
    task = glue_job_tool("g", client=client, manager=manager)()
    assert starting.wait(WAIT)
    task.cancel()
    go.set()
    assert stopped.wait(WAIT)


def test_a_cancel_does_not_wait_for_aws(manager: AsyncToolManager):
    looked, go, stopped = threading.Event(), threading.Event(), threading.Event()

    def look(**parameters: Any) -> Any:
        looked.set()
        return RUNNING

    def stop(**parameters: Any) -> Any:
        assert go.wait(WAIT)
        stopped.set()
        return {}

    client = FakeClient(start_job_run={"JobRunId": "r"}, get_job_run=look, batch_stop_job_run=stop)
    task = glue_job_tool("g", poll_s=0.01, client=client, manager=manager)()
    assert looked.wait(WAIT)
    assert task.cancel()
    assert not stopped.is_set()
    go.set()
    assert stopped.wait(WAIT)


def test_an_event_that_was_refused_waits_for_nothing(manager: AsyncToolManager):
    client = FakeClient(invoke=refusal("ResourceNotFoundException"))
    place = DynamoDBResult("results", client=FakeClient())
    task = lambda_tool("gone", mode="event", result=place, client=client, manager=manager)()
    assert isinstance(task.wait(WAIT) and task.error, AWSError)
    assert "finds no Lambda function gone" in str(task.error)


def test_a_function_never_runs_twice_because_of_looks_that_fail(manager: AsyncToolManager):
    throttled = refusal("ThrottlingException")
    place = DynamoDBResult("t", client=FakeClient(get_item=[throttled] * 5 + [{"Item": {"result": {"N": "7"}}}]))
    client = FakeClient(invoke={})
    tool = lambda_tool("f", mode="event", result=place, poll_s=0.001, client=client, manager=manager)
    assert tool().result(WAIT) == 7
    assert client.names() == ["invoke"]
