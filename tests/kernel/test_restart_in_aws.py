"""A kernel is restarted while something goes on in AWS."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.support.lambda_endpoint import LambdaEndpoint

from .front_end import FrontEnd

pytestmark = pytest.mark.kernel

WAIT = 60.0

DECLARE = """
from backchannel.aws import DynamoDBResult, lambda_tool
train = lambda_tool("train", mode="event", result=DynamoDBResult("results"), poll_s=0.2)
"""

WRITTEN = """
import asyncio
while not train.manager.ledger.goes_on(task):
    await asyncio.sleep(0.02)
"""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    yield boto3.resource("dynamodb").create_table(
        TableName="results",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    server.stop()


def test_a_function_that_runs_over_a_restart_of_the_kernel_brings_its_result(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go = threading.Event(), threading.Event()

    def train(event: Any) -> None:
        began.set()
        assert go.wait(WAIT)
        table.put_item(Item={"id": event["task_id"], "result": {"dataset": event["dataset"], "error": 4}})

    functions = LambdaEndpoint()
    functions.functions["train"] = train
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", functions.url)
    monkeypatch.setenv("BACKCHANNEL_LEDGER", str(tmp_path / "tasks.jsonl"))

    first = FrontEnd()
    try:
        assert first.run("%load_ext backchannel").error == ""
        assert first.run(f"{DECLARE}\ntask = train({{'dataset': 'sales'}})").error == ""
        assert first.run(WRITTEN).error == ""
        assert began.wait(WAIT)
    finally:
        first.close()
    go.set()

    second = FrontEnd()
    try:
        assert second.run("%load_ext backchannel").error == ""
        assert second.run(DECLARE).error == ""
        found = second.run("task = train.manager.task(1)\nawait task.ended()\nprint(task.status, task.value)")
        assert (found.text, found.error) == ("done {'dataset': 'sales', 'error': 4}\n", "")
    finally:
        second.close()
        functions.close()
    assert [name for name, _, _ in functions.requests] == ["train"]
