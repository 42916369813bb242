"""The AWS tools: their schemas, what they send, and what they make of answers."""

from __future__ import annotations

import datetime
import io
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.response import StreamingBody

from backchannel.aws import (
    DynamoDBResult,
    Outcome,
    ResultPlace,
    S3Result,
    SQSResult,
    athena_query_tool,
    batch_job_tool,
    dynamodb_get_tool,
    dynamodb_query_tool,
    glue_job_tool,
    lambda_tool,
    run,
    s3_get_tool,
    s3_list_tool,
    s3_put_tool,
    step_functions_tool,
)
from backchannel.aws.athena import is_read_only
from backchannel.errors import AWSError, TaskFailedError, ToolArgumentsError, ToolDefinitionError
from backchannel.tasks import AsyncTool, AsyncToolManager
from backchannel.tools import ToolRegistry

from .fakes import FakeClient, refusal

WAIT = 10.0
ARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:Nightly-report"


def body(data: bytes) -> StreamingBody:
    return StreamingBody(io.BytesIO(data), len(data))


def call_api(endpoint: str, retries: int = 3) -> str:
    """Call a slow API.

    Args:
        endpoint: Which one.
    """
    raise AssertionError("never called")


def tools() -> list[AsyncTool]:
    client = FakeClient()
    return [
        lambda_tool("slow-api", client=client),
        lambda_tool("arn:aws:lambda:eu-west-1:123456789012:function:other-api:live", client=client),
        lambda_tool("third", like=call_api, client=client),
        dynamodb_get_tool("orders", {"customer": str, "year": int}, client=client),
        dynamodb_query_tool("orders", {"customer": str, "year": int}, client=client),
        step_functions_tool(ARN, client=client),
        s3_get_tool("my.bucket", client=client),
        s3_put_tool("my.bucket", client=client),
        s3_list_tool("my.bucket", client=client),
        athena_query_tool("sales", client=client),
        batch_job_tool("train:3", "queue", parameters=["epochs"], client=client),
        glue_job_tool("nightly load", client=client),
    ]


def test_every_tool_has_a_name_that_models_take_and_says_what_it_does():
    registry = ToolRegistry()
    registry.process_tools(tools())
    assert [tool.tool_name for tool in tools()] == [
        "slow_api",
        "other_api",
        "call_api",
        "get_orders",
        "query_orders",
        "Nightly_report",
        "read_my_bucket",
        "write_my_bucket",
        "list_my_bucket",
        "query_sales",
        "train",
        "nightly_load",
    ]
    assert all(tool.schema.description for tool in tools())


def test_arguments_may_be_given_by_position_in_the_order_of_the_schema():
    client = FakeClient(get_item={"Item": {"total": {"N": "2.5"}}})
    tool = dynamodb_get_tool("orders", {"customer": str, "year": int}, client=client)
    assert tool("Ann", 2026).result(WAIT) == {"total": 2.5}
    assert client.calls[0][1]["Key"] == {"customer": {"S": "Ann"}, "year": {"N": "2026"}}


def test_a_key_whose_name_is_no_name_of_python_is_given_by_name():
    client = FakeClient(get_item={"Item": {}})
    assert dynamodb_get_tool("orders", "order-id", client=client)(**{"order-id": "7"}).result(WAIT) == {}


@pytest.mark.parametrize(
    "make",
    [
        lambda: lambda_tool("f", mode="later"),  # type: ignore[arg-type]
        lambda: lambda_tool("f", result=S3Result("b")),
        lambda: lambda_tool("f", mode="event", result="https://queue"),  # type: ignore[arg-type]
        lambda: SQSResult(""),
        lambda: DynamoDBResult(None),  # type: ignore[arg-type]
        lambda: lambda_tool("f", like=call_api, input_schema={"type": "object"}),
        lambda: lambda_tool("f", mode="event", input_schema={"properties": {"task_id": {"type": "string"}}}),
        lambda: lambda_tool("f", poll_s=0),
        lambda: lambda_tool("f", poll_s=float("nan")),
        lambda: lambda_tool("f", retires=3),  # type: ignore[call-arg]
        lambda: lambda_tool(""),
        lambda: lambda_tool("f", input_schema="object"),  # type: ignore[arg-type]
        lambda: dynamodb_get_tool(None),  # type: ignore[arg-type]
        lambda: dynamodb_get_tool("t", ""),
        lambda: dynamodb_get_tool("t", {}),
        lambda: dynamodb_get_tool("t", {"a": str, "b": str, "c": str}),
        lambda: dynamodb_get_tool("t", {"a": list}),
        lambda: dynamodb_get_tool("t", "größe"),
        lambda: dynamodb_query_tool("t", "limit"),
        lambda: dynamodb_query_tool("t", max_items=0),
        lambda: s3_get_tool("b", max_bytes=-1),
        lambda: s3_list_tool("b", max_objects=True),
        lambda: athena_query_tool("d", max_rows=0),
        lambda: batch_job_tool("j", "q", timeout=0),
        lambda: step_functions_tool(ARN, name="two words"),
    ],
)
def test_what_cannot_be_used_is_refused_where_the_tool_is_made(make: Any):
    with pytest.raises(ToolDefinitionError):
        make()


def test_defining_a_tool_loads_no_boto3():
    code = (
        "import sys; from backchannel.aws import *; lambda_tool('f'); dynamodb_get_tool('t'); "
        "print('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_function_gets_the_arguments_and_their_defaults_and_its_answer_is_the_value():
    client = FakeClient(invoke={"Payload": body(b'{"temperature": 21}')})
    tool = lambda_tool("slow-api-function", like=call_api, qualifier="live", client=client)
    assert tool("weather").result(WAIT) == {"temperature": 21}
    sent = client.calls[0][1]
    assert json.loads(sent.pop("Payload")) == {"endpoint": "weather", "retries": 3}
    assert sent == {"FunctionName": "slow-api-function", "InvocationType": "RequestResponse", "Qualifier": "live"}


@pytest.mark.parametrize(("payload", "value"), [(b"", None), (b"null", None), (b"plain", "plain"), (b"\xff", "\ufffd")])
def test_whatever_a_function_answers_is_a_value(payload: bytes, value: Any):
    assert lambda_tool("f", client=FakeClient(invoke={"Payload": body(payload)}))().result(WAIT) == value


def test_an_error_of_a_function_is_bounded_and_without_its_stack():
    answer = json.dumps({"errorType": "E", "errorMessage": "x" * 100_000, "stackTrace": ["secret"]}).encode()
    task = lambda_tool("f", client=FakeClient(invoke={"Payload": body(answer), "FunctionError": "Unhandled"}))()
    with pytest.raises(TaskFailedError):
        task.result(WAIT)
    assert isinstance(task.error, AWSError)
    assert len(str(task.error)) < 3000
    assert "secret" not in str(task.error)


def test_a_function_that_ran_out_of_time_says_what_to_raise():
    answer = b'{"errorMessage": "2026-11-21 Task timed out after 3.00 seconds"}'
    task = lambda_tool("f", client=FakeClient(invoke={"Payload": body(answer), "FunctionError": "Unhandled"}))()
    task.wait(WAIT)
    assert "Raise the function's time-out" in str(task.error)


def test_a_throttled_request_is_sent_again_a_few_times_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "THROTTLED_S", 0.001)
    throttled = refusal("TooManyRequestsException", "Rate Exceeded.", 429)
    client = FakeClient(invoke=[throttled] * 4 + [{"Payload": body(b"1")}])
    assert lambda_tool("f", client=client)().result(WAIT) == 1
    for fault, times in ((throttled, 5), (refusal("ServiceException", status=500), 1)):
        client = FakeClient(invoke=fault)
        with pytest.raises(TaskFailedError, match="later"):
            lambda_tool("f", client=client)().result(WAIT)
        assert len(client.calls) == times


def test_a_throttled_request_is_not_sent_again_once_its_task_was_cancelled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "THROTTLED_S", 1000.0)
    client = FakeClient(invoke=refusal("TooManyRequestsException"))
    waits = threading.Event()
    with AsyncToolManager() as manager:
        manager.subscribe(lambda task, kind: waits.set(), ["progressed"])
        task = lambda_tool("f", client=client, manager=manager)()
        assert waits.wait(WAIT)
        task.cancel()
    assert len(client.calls) == 1


@pytest.mark.parametrize(("retries", "warned"), [(None, True), ({"total_max_attempts": 1}, False)])
def test_a_client_that_may_run_a_function_twice_is_warned_of(
    retries: Any, warned: bool, caplog: pytest.LogCaptureFixture
):
    client: Any = boto3.client("lambda", "eu-west-1", config=Config(retries=retries))
    lambda_tool("f", client=client)
    assert ("runs twice" in caplog.text) is warned


def test_what_is_sent_to_a_function_is_json_whatever_the_signature_says():
    def report(day: datetime.date, kinds: set[str], more: Path | None = None) -> str:
        raise AssertionError("never called")

    client = FakeClient(invoke={"Payload": body(b"1")})
    assert lambda_tool("f", like=report, client=client)("2026-11-21", ["a"]).result(WAIT) == 1
    assert json.loads(client.calls[0][1]["Payload"])["day"] == "2026-11-21"


def test_a_missing_item_is_named():
    task = dynamodb_get_tool("orders", client=FakeClient(get_item={}))("x'y")
    with pytest.raises(TaskFailedError, match="no item with id"):
        task.result(WAIT)


@pytest.mark.parametrize(
    ("given", "expression"),
    [
        ({}, "#p = :p"),
        ({"day": "1"}, "#p = :p AND #s = :is"),
        ({"day_from": "1"}, "#p = :p AND #s >= :from"),
        ({"day_to": "1"}, "#p = :p AND #s <= :to"),
        ({"day_from": "1", "day_to": "2"}, "#p = :p AND #s BETWEEN :from AND :to"),
        ({"day_begins_with": "2026-"}, "#p = :p AND begins_with(#s, :begins)"),
    ],
)
def test_a_query_asks_for_a_partition_and_a_range(given: dict[str, str], expression: str):
    client = FakeClient(query={"Items": []})
    tool = dynamodb_query_tool("t", {"customer": str, "day": str}, attributes=["size"], client=client)
    assert tool(customer="Ann", **given).result(WAIT) == {"items": [], "count": 0, "more": False}
    sent = client.calls[0][1]
    assert sent["KeyConditionExpression"] == expression
    assert sent["ExpressionAttributeNames"]["#p"] == "customer"
    assert sent["ExpressionAttributeNames"]["#a0"] == "size"


def test_two_kinds_of_range_are_refused():
    task = dynamodb_query_tool("t", {"a": str, "b": str}, client=FakeClient())(a="x", b="y", b_from="z")
    task.wait(WAIT)
    assert isinstance(task.error, ToolArgumentsError)


@pytest.mark.parametrize(("limit", "count", "more", "pages"), [(1, 1, True, 1), (5, 5, False, 4), (4, 4, True, 4)])
def test_a_query_reads_pages_up_to_the_limit_also_empty_ones(limit: int, count: int, more: bool, pages: int):
    page = [{"n": {"N": str(number)}} for number in range(5)]
    client = FakeClient(
        query=[
            {"Items": page[:2], "LastEvaluatedKey": {"n": {"N": "1"}}},
            {"Items": [], "LastEvaluatedKey": {"n": {"N": "1"}}},
            {"Items": page[2:4], "LastEvaluatedKey": {"n": {"N": "3"}}},
            {"Items": page[4:]},
        ]
    )
    found = dynamodb_query_tool("t", client=client)("x", limit=limit).result(WAIT)
    assert (found["count"], found["more"], len(client.calls)) == (count, more, pages)
    assert [item["n"] for item in found["items"]] == list(range(count))


@pytest.mark.parametrize("key", ["other/x", "data/../secret", "data/./x", ".."])
def test_a_key_outside_of_the_prefix_is_refused(key: str):
    for tool in (s3_get_tool("b", "data/", client=FakeClient()), s3_put_tool("b", "data/", client=FakeClient())):
        task = tool(key, text="x") if "text" in tool.schema.input_schema["properties"] else tool(key)
        task.wait(WAIT)
        assert isinstance(task.error, ToolArgumentsError)


@pytest.mark.parametrize(
    ("key", "data", "value"),
    [
        ("a.json", b'{"a": 1}', {"a": 1}),
        ("a.json", b"{", "{"),
        ("a.txt", "ä".encode(), "ä"),
        ("a.bin", b"\xff\x00", b"\xff\x00"),
        ("empty", b"", ""),
    ],
)
def test_an_object_is_read_as_what_it_is(key: str, data: bytes, value: Any):
    client = FakeClient(get_object={"ContentLength": len(data), "Body": body(data)})
    assert s3_get_tool("b", client=client)(key).result(WAIT) == value


@pytest.mark.parametrize("said", [{"ContentLength": 100}, {}])
def test_a_large_object_is_not_read(said: dict[str, int]):
    client = FakeClient(get_object={**said, "Body": StreamingBody(io.BytesIO(b"x" * 100), None)})
    with pytest.raises(TaskFailedError, match="max_bytes"):
        s3_get_tool("b", max_bytes=99, client=client)("k").result(WAIT)


def test_a_large_result_is_not_read():
    client = FakeClient(invoke={}, get_object={"Body": body(b"x" * 100)})
    place = S3Result("b", max_bytes=99, client=client)
    with pytest.raises(TaskFailedError, match="more than 99 bytes"):
        lambda_tool("f", mode="event", result=place, poll_s=0.01, client=client)().result(WAIT)


def test_a_place_of_ones_own_ends_a_call():
    forgotten = threading.Event()

    class Place(ResultPlace):
        def __init__(self) -> None:
            self.tokens: set[str] = set()

        def expect(self, token: str, field: str) -> None:
            self.tokens.add(token)

        def forget(self, access: Any, token: str, taken: bool) -> None:
            assert taken
            self.tokens.discard(token)
            forgotten.set()

        def look(self, access: Any, token: str, field: str) -> Outcome:
            assert token in self.tokens
            return Outcome([token, field])

    place = Place()
    client = FakeClient(invoke={})
    tool = lambda_tool("f", mode="event", result=place, task_id_field="run", poll_s=0.01, client=client)
    (token, field) = tool().result(WAIT)
    assert json.loads(client.calls[0][1]["Payload"]) == {"run": token}
    assert forgotten.wait(WAIT)
    assert (field, place.tokens) == ("run", set())


def test_one_client_is_made_however_many_ask_for_the_first():
    made: list[str] = []

    class Session:
        def client(self, service: str, **options: Any) -> Any:
            made.append(service)
            return FakeClient(get_item={"Item": {"id": {"S": "x"}}})

    with AsyncToolManager(max_workers=16) as manager:
        tool = dynamodb_get_tool("t", session=Session(), manager=manager)  # type: ignore[arg-type]
        tasks = [tool("x") for _ in range(100)]
        assert [task.result(WAIT) for task in tasks] == [{"id": "x"}] * 100
    assert made == ["dynamodb"]


def test_clients_are_made_to_wait_for_long_functions_and_to_send_once():
    configured: list[Any] = []

    class Session:
        def client(self, service: str, **options: Any) -> Any:
            configured.append(options)
            return FakeClient(invoke={"Payload": body(b"1")})

    tool = lambda_tool("f", session=Session(), region_name="eu-west-1", endpoint_url="http://x")  # type: ignore[arg-type]
    assert tool().result(WAIT) == 1
    (options,) = configured
    config = options["config"]
    assert (config.read_timeout, config.tcp_keepalive, config.retries["total_max_attempts"]) == (910, True, 1)
    assert (options["region_name"], options["endpoint_url"]) == ("eu-west-1", "http://x")


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT 1", True),
        ("  -- DROP\n/* x\n */ (select 1)", True),
        ("with a as (select 1) select * from a", True),
        ("show tables", True),
        ("DROP TABLE x", False),
        ("/* SELECT */ DELETE FROM x", False),
        ("-- SELECT 1", False),
        ("SELECTED", False),
        ("EXPLAIN ANALYZE INSERT INTO x SELECT 1", False),
        ("UNLOAD (SELECT 1) TO 's3://x'", False),
        ("", False),
        ("/* never ends", False),
    ],
)
def test_only_statements_that_read_are_let_through(sql: str, reads: bool):
    assert is_read_only(sql) is reads


@pytest.mark.parametrize("length", [100_000])
def test_a_long_statement_is_looked_at_in_no_time(length: int):
    assert not is_read_only("/*" * length)
    assert not is_read_only("(" * length)
    assert not is_read_only("- " * length)


def query_execution(state: str, **more: Any) -> dict[str, Any]:
    return {"QueryExecution": {"Status": {"State": state, **more}, "Statistics": {"DataScannedInBytes": 5}}}


def rows(*texts: list[str | None]) -> list[dict[str, Any]]:
    return [{"Data": [{} if text is None else {"VarCharValue": text} for text in row]} for row in texts]


def test_a_query_of_athena_returns_typed_rows_of_all_pages():
    columns = [
        {"Name": "n", "Type": "bigint"},
        {"Name": "ok", "Type": "boolean"},
        {"Name": "d", "Type": "decimal(9,2)"},
    ]
    metadata = {"ColumnInfo": columns}
    client = FakeClient(
        start_query_execution={"QueryExecutionId": "q"},
        get_query_execution=[query_execution("QUEUED"), query_execution("RUNNING"), query_execution("SUCCEEDED")],
        get_query_results=[
            {
                "ResultSet": {"Rows": rows(["n", "ok", "d"], ["1", "true", "0.10"]), "ResultSetMetadata": metadata},
                "NextToken": "t",
            },
            {"ResultSet": {"Rows": rows(["2", "false", None]), "ResultSetMetadata": metadata}},
        ],
    )
    found = athena_query_tool("sales", poll_s=0.01, client=client)("SELECT 1").result(WAIT)
    assert found == {
        "columns": ["n", "ok", "d"],
        "rows": [[1, True, "0.10"], [2, False, None]],
        "more": False,
        "scanned_bytes": 5,
    }
    assert len(client.calls[0][1]["ClientRequestToken"]) >= 32


def test_a_failed_query_says_why():
    failed = query_execution("FAILED", StateChangeReason="COLUMN_NOT_FOUND: x")
    client = FakeClient(start_query_execution={"QueryExecutionId": "q"}, get_query_execution=failed)
    with pytest.raises(TaskFailedError, match="COLUMN_NOT_FOUND"):
        athena_query_tool("sales", client=client)("SELECT x").result(WAIT)


class Endless:
    """A service whose runs go on until they are stopped."""

    def __init__(self) -> None:
        self.looked = threading.Event()
        self.stopped = threading.Event()
        self.how: dict[str, Any] = {}

    def look(self, answer: Any) -> Any:
        def call(**parameters: Any) -> Any:
            self.looked.set()
            return answer

        return call

    def stop(self, **parameters: Any) -> Any:
        self.how = parameters
        self.stopped.set()
        return {}


def running(kind: str, service: Endless) -> tuple[AsyncTool, dict[str, Any]]:
    match kind:
        case "athena":
            client = FakeClient(
                start_query_execution={"QueryExecutionId": "q"},
                get_query_execution=service.look(query_execution("RUNNING")),
                stop_query_execution=service.stop,
            )
            return athena_query_tool("d", poll_s=0.01, client=client), {"sql": "SELECT 1"}
        case "batch":
            client = FakeClient(
                submit_job={"jobId": "j"},
                describe_jobs=service.look({"jobs": [{"status": "RUNNING"}]}),
                terminate_job=service.stop,
            )
            return batch_job_tool("j", "q", poll_s=0.01, client=client), {}
        case "glue":
            client = FakeClient(
                start_job_run={"JobRunId": "r"},
                get_job_run=service.look({"JobRun": {"JobRunState": "RUNNING"}}),
                batch_stop_job_run=service.stop,
            )
            return glue_job_tool("g", poll_s=0.01, client=client), {}
    client = FakeClient(
        start_execution={"executionArn": "arn"},
        describe_state_machine_for_execution=refusal("AccessDeniedException"),
        describe_execution=service.look({"status": "RUNNING"}),
        get_execution_history=refusal("AccessDeniedException"),
        stop_execution=service.stop,
    )
    return step_functions_tool(ARN, poll_s=0.01, client=client), {}


@pytest.mark.parametrize("kind", ["athena", "batch", "glue", "step functions"])
def test_a_cancelled_task_stops_what_runs_in_aws(kind: str):
    service = Endless()
    tool, arguments = running(kind, service)
    task = tool(**arguments)
    assert service.looked.wait(WAIT)
    task.cancel()
    assert service.stopped.wait(WAIT)
    assert task.status == "cancelled"


def test_what_could_not_be_stopped_is_logged(caplog: pytest.LogCaptureFixture):
    service = Endless()
    logged = threading.Event()

    def refuse(**parameters: Any) -> Any:
        logged.set()
        return refusal("AccessDeniedException", status=403)

    service.stop = refuse  # type: ignore[method-assign]
    tool, arguments = running("glue", service)
    with AsyncToolManager() as manager:
        task = manager.start("load", tool.fn, arguments)
        assert service.looked.wait(WAIT)
        task.cancel()
        assert logged.wait(WAIT)


def test_looking_bears_faults_that_may_pass_and_ends_at_one_that_does_not():
    throttled = refusal("ThrottlingException")
    done = {"JobRun": {"JobRunState": "SUCCEEDED", "ExecutionTime": 3}}
    client = FakeClient(start_job_run={"JobRunId": "r"}, get_job_run=[throttled] * 20 + [done])
    assert glue_job_tool("g", poll_s=0.001, client=client)().result(WAIT)["execution_s"] == 3

    for faults in (throttled, refusal("AccessDeniedException")):
        client = FakeClient(start_job_run={"JobRunId": "r"}, get_job_run=faults)
        with pytest.raises(TaskFailedError, match="goes on"):
            glue_job_tool("g", poll_s=0.001, client=client)().result(WAIT)


def test_a_batch_job_shows_its_array_and_says_why_it_failed():
    client = FakeClient(
        submit_job={"jobId": "j"},
        describe_jobs=[
            {"jobs": []},
            {
                "jobs": [
                    {
                        "status": "RUNNING",
                        "arrayProperties": {"size": 4, "statusSummary": {"SUCCEEDED": 2, "FAILED": 1}},
                    }
                ]
            },
            {"jobs": [{"status": "FAILED", "statusReason": "Host", "container": {"exitCode": 137, "reason": "OOM"}}]},
        ],
    )
    task = batch_job_tool("j", "q", parameters=["size"], poll_s=0.001, client=client)(size="3")
    with pytest.raises(TaskFailedError, match="exit code 137: Host OOM"):
        task.result(WAIT)
    assert task.progress[:2] == (3, 4)
    assert client.calls[0][1]["parameters"] == {"size": "3"}


@pytest.mark.parametrize(("given", "region"), [(None, "us-west-2"), ("eu-west-1", "eu-west-1")])
def test_an_arn_says_in_which_region_unless_somebody_else_does(given: str | None, region: str):
    made: dict[str, Any] = {}

    class Session:
        def client(self, service: str, **options: Any) -> Any:
            made[service] = options["region_name"], options["endpoint_url"]
            return FakeClient(invoke={}, get_item={"Item": {"result": {"S": "x"}}})

    arn = "arn:aws:lambda:us-west-2:123456789012:function:f"
    options: Any = {"session": Session(), "region_name": given, "endpoint_url": "http://x"}
    assert lambda_tool(arn, mode="event", result=DynamoDBResult("t"), poll_s=0.01, **options)().result(WAIT) == "x"
    # Where its results are is another service, at an address of its own.
    assert made == {"lambda": (region, "http://x"), "dynamodb": (given, None)}


def test_an_address_that_is_none_is_named():
    task = dynamodb_get_tool("orders", endpoint_url="localhost:8000", region_name="eu-west-1")("x")
    task.wait(WAIT)
    assert isinstance(task.error, AWSError)
    assert "localhost:8000" in str(task.error)
    assert "endpoint_url=" in str(task.error)


def test_a_result_that_is_too_large_for_lambda_says_what_to_do():
    answer = b'{"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "Response payload size exceeded"}'
    task = lambda_tool("f", client=FakeClient(invoke={"Payload": body(answer), "FunctionError": "Unhandled"}))()
    task.wait(WAIT)
    assert "put its result into S3" in str(task.error)


def test_an_event_cannot_say_under_which_id_its_result_goes():
    client = FakeClient(invoke={})
    lambda_tool("f", mode="event", client=client)({"task_id": "somebody else's"}).result(WAIT)
    assert json.loads(client.calls[0][1]["Payload"])["task_id"] != "somebody else's"


def test_after_a_missing_sign_in_the_next_call_looks_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    tool = dynamodb_get_tool("orders", endpoint_url="http://127.0.0.1:9")
    for expected in ("No AWS region", "No AWS credentials", "cannot be reached"):
        task = tool("x")
        task.wait(60)
        assert expected in str(task.error)
        if expected == "No AWS region":
            monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        else:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
