"""docs/aws.md: its code runs, and its policies allow what the tools ask for and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest

from backchannel import AsyncToolManager, aws
from backchannel.aws.refusal import action_of

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
SECTIONS = dict(zip(*[iter(re.split(r"(?m)^### (.*)$", PAGE)[1:])] * 2, strict=True))

MODULES = {
    "lambda_tool": [("functions", "lambda"), ("results", "dynamodb"), ("inbox", "sqs"), ("results", "s3")],
    "dynamodb_get_tool": [("dynamodb", "dynamodb")],
    "step_functions_tool": [("step_functions", "stepfunctions")],
    "s3_get_tool": [("s3", "s3")],
    "athena_query_tool": [("athena", "athena")],
    "batch_job_tool": [("jobs", "batch"), ("jobs", "glue")],
}
BESIDES = {"lambda_tool": {"s3:ListBucket"}}


def allowed(section: str) -> set[str]:
    actions: list[str] = []
    for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL):
        for statement in json.loads(block)["Statement"]:
            found: Any = statement["Action"]
            actions += [found] if isinstance(found, str) else found
    return set(actions)


def asked(module: str, service: str) -> set[str]:
    """The actions of all methods of the service's client that a module names."""
    source = (ROOT / "src" / "backchannel" / "aws" / f"{module}.py").read_text(encoding="utf-8")
    make: Any = boto3.client
    methods = make(service, "eu-west-1").meta.method_to_api_mapping
    return {action_of(service, name) for name in re.findall(r'"([a-z0-9_]+)"', source) if name in methods}


@pytest.mark.parametrize("tool", MODULES)
def test_a_policy_allows_what_its_tool_asks_for_and_nothing_else(tool: str):
    (section,) = [text for heading, text in SECTIONS.items() if f"`{tool}`" in heading]
    needed = set().union(*(asked(*place) for place in MODULES[tool])) | BESIDES.get(tool, set())
    assert needed
    assert allowed(section.partition("## Errors")[0]) == needed


def test_the_code_of_the_page_makes_its_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    first, *others = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(first, names)
    assert {"call_api", "query_orders", "nightly"} <= set(names["agent"].tool_names)
    known: dict[str, Any] = dict.fromkeys(["queue_url", "success_queue_url", "failure_queue_url"], "https://queue")
    known |= {name: getattr(aws, name) for name in aws.__all__}
    known |= {"AsyncToolManager": AsyncToolManager, "call_api": names["call_api"]}
    monkeypatch.chdir(tmp_path)
    for code in others:
        exec(code, dict(known))
    assert len(others) == 10


def test_every_tool_is_on_the_page():
    assert [name for name in aws.__all__ if name.endswith("_tool") and f"| `{name}(" not in PAGE] == []
