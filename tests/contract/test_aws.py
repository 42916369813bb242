"""The AWS tools against a server that speaks AWS's protocols, and functions behind an endpoint that speaks Lambda's."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from backchannel import AsyncToolManager, async_tool
from backchannel.aws import (
    DynamoDBResult,
    S3Result,
    SQSResult,
    access,
    dynamodb_get_tool,
    dynamodb_query_tool,
    lambda_tool,
    run,
    s3_get_tool,
    s3_list_tool,
    s3_put_tool,
    step_functions_tool,
)
from backchannel.errors import AWSError, TaskFailedError
from backchannel.tasks import Task
from backchannel.tools import run_tool
from tests.support.lambda_endpoint import LambdaEndpoint, Throttled

WAIT = 60.0
REGION = "eu-west-1"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    post(f"{server}/moto-api/reset")
    post(f"{server}/moto-api/config", {"stepfunctions": {"execute_state_machine": True}})
    return server


def post(url: str, content: Any = None) -> None:
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=WAIT) as answer:
        answer.read()


def client(service: str, url: str) -> Any:
    make: Any = boto3.client
    return make(service, endpoint_url=url, region_name=REGION)


@pytest.fixture
def functions() -> Iterator[LambdaEndpoint]:
    endpoint = LambdaEndpoint()
    yield endpoint
    endpoint.close()


def make_table(url: str, *keys: tuple[str, str], name: str = "slow-query-table") -> Any:
    return boto3.resource("dynamodb", endpoint_url=url, region_name=REGION).create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": key, "KeyType": kind} for (key, _), kind in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys],
        BillingMode="PAY_PER_REQUEST",
    )


# The two examples of the origin


def test_a_slow_api_is_called_in_the_background_and_answers(url: str, functions: LambdaEndpoint):
    answered = threading.Event()

    def slow_api(event: Any) -> Any:
        assert answered.wait(WAIT)
        return {"findings": f"about {event['endpoint']}"}

    functions.functions["slow-api-function"] = slow_api
    manager = AsyncToolManager(max_workers=4)

    def call_api(endpoint: str) -> str:
        """Call a slow API and return the result."""
        raise AssertionError("never called")

    tool = lambda_tool("slow-api-function", like=call_api, manager=manager, endpoint_url=functions.url)
    task = tool(endpoint="weather")
    assert "no result yet" in str(task)
    assert task.id in str(task)
    answered.set()
    assert task.result(WAIT) == {"findings": "about weather"}


def test_the_same_by_hand_with_a_client_of_ones_own(url: str, functions: LambdaEndpoint):
    functions.functions["slow-api-function"] = lambda event: f"got {event['endpoint']}"
    one_attempt = Config(read_timeout=910, retries={"total_max_attempts": 1})
    lambda_client = boto3.client("lambda", endpoint_url=functions.url, config=one_attempt)
    manager = AsyncToolManager(max_workers=4)

    @async_tool(manager)
    def call_api(endpoint: str) -> str:
        """Call a slow API and return the result."""
        response = lambda_client.invoke(
            FunctionName="slow-api-function",
            InvocationType="RequestResponse",
            Payload=json.dumps({"endpoint": endpoint}),
        )
        return json.loads(response["Payload"].read())

    assert call_api("weather").result(WAIT) == "got weather"


def test_a_table_is_asked_in_the_background(url: str):
    from decimal import Decimal

    table = make_table(url, ("id", "S"))
    table.put_item(Item={"id": "7", "price": Decimal("9.90"), "pieces": 3, "tags": {"b", "a"}})
    query_database = dynamodb_get_tool("slow-query-table", name="query_database", endpoint_url=url)
    task = query_database("7")
    assert json.loads(json.dumps(task.result(WAIT))) == {"id": "7", "price": 9.9, "pieces": 3, "tags": ["a", "b"]}
    missing = query_database("8")
    with pytest.raises(TaskFailedError, match="There is no item with id '8' in the table slow-query-table"):
        missing.result(WAIT)


# Lambda


def failed(task: Task) -> str:
    assert task.wait(WAIT)
    assert isinstance(task.error, AWSError)
    return str(task.error)


def test_errors_of_functions_and_of_lambda_say_what_happened(
    url: str, functions: LambdaEndpoint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "THROTTLED_S", 0.01)

    def broken(event: Any) -> Any:
        raise ValueError("no such city")

    def busy(event: Any) -> Any:
        raise Throttled

    functions.functions |= {"broken": broken, "busy": busy}
    assert failed(lambda_tool("broken", endpoint_url=functions.url)()) == (
        "The Lambda function broken failed: ValueError: no such city"
    )
    assert "throttling lambda:InvokeFunction" in failed(lambda_tool("busy", endpoint_url=functions.url)())
    assert "finds no Lambda function gone" in failed(lambda_tool("gone", endpoint_url=functions.url)())
    assert [name for name, _, _ in functions.requests] == ["broken", *["busy"] * 5]


def test_a_request_whose_answer_is_lost_is_not_sent_again(url: str):
    received = []

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                received.append(connection.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        tool = lambda_tool("f", endpoint_url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        assert "Lambda function f" in failed(tool())
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert len(received) == 1


def test_a_function_that_does_not_answer_in_time_ran_once(
    url: str, functions: LambdaEndpoint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(access, "LAMBDA_READ_TIMEOUT_S", 0.5)
    go = threading.Event()
    functions.functions["endless"] = lambda event: go.wait(WAIT)
    said = failed(lambda_tool("endless", endpoint_url=functions.url)())
    go.set()
    assert "did not answer in time about Lambda function endless" in said
    assert 'mode="event"' in said
    assert len(functions.requests) == 1


def test_an_event_without_a_place_for_results_says_so(url: str, functions: LambdaEndpoint):
    functions.functions["f"] = lambda event: None
    value = lambda_tool("f", mode="event", endpoint_url=functions.url)({"a": 1}).result(WAIT)
    assert "no result back" in value
    ((_, kind, event),) = functions.requests
    assert kind == "Event"
    assert event.pop("task_id")
    assert event == {"a": 1}


def test_an_event_leaves_its_result_in_a_table_with_progress_before(url: str, functions: LambdaEndpoint):
    table = make_table(url, ("id", "S"), name="results")
    seen = threading.Event()

    def work(event: Any) -> None:
        table.put_item(Item={"id": event["task_id"], "done": 2, "total": 4, "message": "halfway"})
        assert seen.wait(WAIT)
        table.put_item(Item={"id": event["task_id"], "result": {"rows": event["n"]}})

    functions.functions["work"] = work
    place = DynamoDBResult("results", client=client("dynamodb", url))
    tool = lambda_tool("work", mode="event", result=place, poll_s=0.05, endpoint_url=functions.url)
    manager = tool.manager

    def watch(task: Task, kind: str) -> None:
        if task.progress[:3] == (2, 4, "halfway"):
            seen.set()

    end = manager.subscribe(watch, ["progressed"])
    try:
        assert tool({"n": 5}).result(WAIT) == {"rows": 5}
    finally:
        end()


def test_an_event_leaves_its_result_in_a_bucket(url: str, functions: LambdaEndpoint):
    s3 = client("s3", url)
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    functions.functions["work"] = lambda event: s3.put_object(
        Bucket="bucket", Key=f"results/{event['task_id']}.json", Body=b'{"answer": 42}'
    )
    place = S3Result("bucket", client=s3)
    tool = lambda_tool("work", mode="event", result=place, poll_s=0.05, endpoint_url=functions.url)
    assert tool().result(WAIT) == {"answer": 42}
    gone = S3Result("gone", client=s3)
    assert "finds no object s3://gone/" in failed(
        lambda_tool("work", mode="event", result=gone, poll_s=0.05, endpoint_url=functions.url)()
    )


def test_destinations_bring_the_results_of_many_events_through_one_queue(url: str, functions: LambdaEndpoint):
    sqs = client("sqs", url)
    queue = sqs.create_queue(QueueName="results")["QueueUrl"]
    functions.destination = lambda record: sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(record))
    tries: list[int] = []

    def work(event: Any) -> Any:
        if event["n"] == 3:
            tries.append(1)
            raise ValueError("three")
        return event["n"] ** 2

    functions.functions["work"] = work
    place = SQSResult(queue, client=sqs)
    with AsyncToolManager(max_workers=6) as manager:
        tool = lambda_tool("work", mode="event", result=place, poll_s=0.05, manager=manager, endpoint_url=functions.url)
        tasks = [tool({"n": number}) for number in range(6)]
        assert failed(tasks.pop(3)) == "The Lambda function work failed: ValueError: three"
        assert [task.result(WAIT) for task in tasks] == [0, 1, 4, 16, 25]
    assert len(tries) == 3


def make_queue(url: str, name: str = "results", hidden_s: int = 30) -> tuple[Any, str]:
    sqs = client("sqs", url)
    return sqs, sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": str(hidden_s)})["QueueUrl"]


def left(sqs: Any, queue: str) -> list[Any]:
    """What is in the queue, hidden or not."""
    counts = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    return [int(counts[name]) for name in ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")]


def test_only_what_was_taken_leaves_the_queue(url: str, functions: LambdaEndpoint):
    sqs, queue = make_queue(url)
    sent = threading.Event()

    def work(event: Any) -> None:
        for body in (
            json.dumps({"task_id": "somebody else", "result": 1}),
            "{not JSON",
            json.dumps({"task_id": event["task_id"], "done": 1, "total": 2}),
            json.dumps({"task_id": event["task_id"], "result": "ours"}),
            json.dumps({"task_id": event["task_id"], "result": "ours, again"}),
        ):
            sqs.send_message(QueueUrl=queue, MessageBody=body)
        sent.set()

    functions.functions["work"] = work
    place = SQSResult(queue, client=sqs)
    tool = lambda_tool("work", mode="event", result=place, poll_s=0.05, endpoint_url=functions.url)
    assert tool().result(WAIT) in ("ours", "ours, again")
    assert sent.wait(WAIT)
    # One that came after the task's last look goes when another task looks.
    functions.functions["none"] = lambda event: None
    other = lambda_tool("none", mode="event", result=place, poll_s=0.05, endpoint_url=functions.url)()
    poll(lambda: sum(left(sqs, queue)) == 2)
    other.cancel()


def test_a_result_that_comes_after_the_end_stays_in_the_queue(url: str, functions: LambdaEndpoint):
    sqs, queue = make_queue(url)
    began, go = threading.Event(), threading.Event()

    def work(event: Any) -> None:
        began.set()
        assert go.wait(WAIT)
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"task_id": event["task_id"], "result": 1}))

    functions.functions["work"] = work
    place = SQSResult(queue, client=sqs)
    task = lambda_tool("work", mode="event", result=place, poll_s=0.05, endpoint_url=functions.url)()
    assert began.wait(WAIT)
    task.cancel()
    go.set()
    functions.functions["quick"] = lambda event: sqs.send_message(
        QueueUrl=queue, MessageBody=json.dumps({"task_id": event["task_id"], "result": 2})
    )
    poll(lambda: sum(left(sqs, queue)) == 1)
    assert lambda_tool("quick", mode="event", result=place, poll_s=0.05, endpoint_url=functions.url)().result(WAIT) == 2
    poll(lambda: sum(left(sqs, queue)) == 1)


def test_a_hundred_events_share_one_queue_and_no_worker(url: str, functions: LambdaEndpoint):
    sqs, queue = make_queue(url)
    functions.destination = lambda record: sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(record))
    functions.functions["double"] = lambda event: event["n"] * 2
    place = SQSResult(queue, client=sqs)
    with AsyncToolManager(max_workers=2) as manager:
        tool = lambda_tool(
            "double", mode="event", result=place, poll_s=0.2, manager=manager, endpoint_url=functions.url
        )
        tasks = [tool({"n": number}) for number in range(100)]
        assert [task.result(WAIT) for task in tasks] == [2 * number for number in range(100)]
    poll(lambda: sum(left(sqs, queue)) == 0)


# Step Functions


def machine(url: str, states: dict[str, Any], start: str) -> str:
    made = client("stepfunctions", url).create_state_machine(
        name="nightly",
        definition=json.dumps({"StartAt": start, "States": states}),
        roleArn="arn:aws:iam::123456789012:role/r",
    )
    return str(made["stateMachineArn"])


def test_an_execution_returns_its_output_and_is_called_after_its_task(url: str):
    states = {
        "First": {"Type": "Pass", "Next": "Second"},
        "Second": {"Type": "Pass", "Result": {"rows": 3}, "End": True},
    }
    arn = machine(url, states, "First")
    task = step_functions_tool(arn, poll_s=0.05, endpoint_url=url)({"day": "monday"})
    assert task.result(WAIT) == {"rows": 3}
    (execution,) = client("stepfunctions", url).list_executions(stateMachineArn=arn)["executions"]
    assert execution["name"].startswith(task.id)


def test_a_running_execution_shows_its_states_and_is_stopped_on_cancel(url: str):
    states = {
        "First": {"Type": "Pass", "Next": "Long"},
        "Long": {"Type": "Wait", "Seconds": 600, "Next": "Last"},
        "Last": {"Type": "Pass", "End": True},
    }
    tool = step_functions_tool(machine(url, states, "First"), poll_s=0.05, endpoint_url=url)
    shown = threading.Event()
    end = tool.manager.subscribe(lambda task, kind: task.progress[:3] == (1, 3, "Long") and shown.set(), ["progressed"])
    task = tool({})
    assert shown.wait(WAIT)
    end()
    task.cancel()
    poll(lambda: executions(url) == ["ABORTED"])
    assert task.status == "cancelled"


def executions(url: str) -> list[str]:
    stepfunctions = client("stepfunctions", url)
    machines = stepfunctions.list_state_machines()["stateMachines"]
    return [
        execution["status"]
        for found in machines
        for execution in stepfunctions.list_executions(stateMachineArn=found["stateMachineArn"])["executions"]
    ]


def poll(condition: Any) -> None:
    """Ask until it is so; a test that waits for ever ends with an error."""
    ready = threading.Event()
    for _ in range(1000):
        if condition():
            return
        ready.wait(0.05)
    raise AssertionError("it never came to be")


def test_an_execution_that_fails_says_where_and_why(url: str):
    states = {"First": {"Type": "Fail", "Error": "NoData", "Cause": "the table is empty"}}
    said = failed(step_functions_tool(machine(url, states, "First"), poll_s=0.05, endpoint_url=url)({}))
    assert "NoData: the table is empty" in said
    gone = "arn:aws:states:eu-west-1:123456789012:stateMachine:gone"
    assert "finds no state machine" in failed(step_functions_tool(gone, endpoint_url=url)({}))


# A restart


TOOLS = """
def tools(manager, functions_url, queue_url, machine_arn):
    options = {"mode": "event", "poll_s": 0.2, "endpoint_url": functions_url, "manager": manager}
    return [
        lambda_tool("train", result=DynamoDBResult("results", client=boto3.client("dynamodb")), **options),
        lambda_tool("score", result=SQSResult(queue_url, client=boto3.client("sqs")), **options),
        step_functions_tool(machine_arn, poll_s=0.2, manager=manager),
    ]
"""

PROCESS = f"""
import os, sys, threading
import boto3
from backchannel import AsyncToolManager
from backchannel.aws import DynamoDBResult, SQSResult, lambda_tool, step_functions_tool
{TOOLS}
ledger, *places = sys.argv[1:]
manager = AsyncToolManager(ledger=ledger)
tasks = [tool() for tool in tools(manager, *places)]
pause = threading.Event()
while not all(manager.ledger.goes_on(task) for task in tasks):
    pause.wait(0.02)
manager.ledger.flush()
print(*(task.id for task in tasks), flush=True)
os._exit(1)
"""


def test_after_a_crash_everything_that_goes_on_in_aws_is_found_again(
    url: str, functions: LambdaEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    table = make_table(url, ("id", "S"), name="results")
    sqs, queue = make_queue(url)
    arn = machine(url, {"Long": {"Type": "Wait", "Seconds": 600, "End": True}}, "Long")
    go = threading.Event()

    def train(event: Any) -> None:
        assert go.wait(WAIT)
        table.put_item(Item={"id": event["task_id"], "result": "trained"})

    def score(event: Any) -> None:
        assert go.wait(WAIT)
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"task_id": event["task_id"], "result": "scored"}))

    functions.functions |= {"train": train, "score": score}
    ledger, places = str(tmp_path / "tasks.jsonl"), (functions.url, queue, arn)
    command = [sys.executable, "-c", PROCESS, ledger, *places]
    crashed = subprocess.run(command, capture_output=True, text=True, timeout=WAIT, check=False)
    assert crashed.returncode == 1, crashed.stderr
    ids = crashed.stdout.split()
    assert executions(url) == ["RUNNING"]
    go.set()

    manager = AsyncToolManager(ledger=ledger)
    assert [task.id for task in manager.tasks] == ids
    trained, scored, execution = manager.tasks
    names: dict[str, Any] = {name: globals()[name] for name in ("boto3", "lambda_tool", "step_functions_tool")}
    names |= {"DynamoDBResult": DynamoDBResult, "SQSResult": SQSResult}
    exec(TOOLS, names)
    kept = names["tools"](manager, *places)
    assert (trained.result(WAIT), scored.result(WAIT)) == ("trained", "scored")
    poll(lambda: execution.progress.message == "Long")
    execution.cancel()
    poll(lambda: executions(url) == ["ABORTED"])
    assert sorted(name for name, _, _ in functions.requests) == ["score", "train"]
    assert len(kept) == 3
    manager.shutdown()


# DynamoDB and S3


def test_a_query_pages_through_a_partition(url: str):
    table = make_table(url, ("customer", "S"), ("day", "N"), name="orders")
    with table.batch_writer() as batch:
        for day in range(300):
            batch.put_item(Item={"customer": "Ann", "day": day, "text": "x" * 10_000})
    tool = dynamodb_query_tool("orders", {"customer": str, "day": int}, attributes=["day"], endpoint_url=url)
    found = tool("Ann").result(WAIT)
    assert [item["day"] for item in found["items"]] == list(range(300))
    assert not found["more"]
    newest = tool("Ann", day_from=10, day_to=20, newest_first=True, limit=3).result(WAIT)
    assert newest == {"items": [{"day": 20}, {"day": 19}, {"day": 18}], "count": 3, "more": True}
    assert tool("Bob").result(WAIT)["count"] == 0
    assert "finds no table gone" in failed(dynamodb_get_tool("gone", endpoint_url=url)("1"))


def test_objects_are_written_read_and_listed_below_a_prefix(url: str):
    client("s3", url).create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    write = s3_put_tool("bucket", "reports/", endpoint_url=url)
    read = s3_get_tool("bucket", "reports/", endpoint_url=url)
    for number in range(5):
        write(f"reports/{number}.json", f'{{"grüße": {number}}}').result(WAIT)
    assert read("reports/3.json").result(WAIT) == {"grüße": 3}
    assert "already an object" in failed(write("reports/3.json", "again"))
    assert "finds no object s3://bucket/reports/9" in failed(read("reports/9"))
    found = s3_list_tool("bucket", "reports/", max_objects=3, endpoint_url=url)().result(WAIT)
    assert [item["key"] for item in found["objects"]] == [f"reports/{number}.json" for number in range(3)]
    assert found["more"]
    assert s3_list_tool("bucket", endpoint_url=url)("none").result(WAIT)["objects"] == []


async def test_a_model_reads_why_aws_refused(url: str):
    tool = dynamodb_get_tool("gone", grace_s=WAIT, endpoint_url=url)
    use: Any = {"toolUseId": "1", "name": tool.tool_name, "input": {"id": "7"}}
    (event,) = [event async for event in run_tool(tool, use, {})]
    result = event["tool_result"]
    assert result["status"] == "error"
    assert "finds no table gone" in result["content"][0]["text"]
