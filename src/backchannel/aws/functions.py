"""Lambda functions as tools: called and awaited, or started by an event with the result from elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, Unpack

from ..errors import AWSError, ToolDefinitionError
from ..tasks import AsyncTool
from .access import Access, explained
from .definition import ToolOptions, check_poll, define, own_arguments, tool_name
from .outcome import Outcome, failure_in, json_of
from .results import ResultPlace
from .run import Following, Remote, Run

__all__ = ["lambda_tool"]

_log = logging.getLogger(__name__)

_LONGEST_EVENT_S = 7 * 3600
"""Six hours in Lambda's queue, and the run itself."""

_PARTS = ("expect", "look", "forget", "where")

_GOES_ON = "Lambda cannot stop a function: {} goes on until it is done, and its result is dropped."


def lambda_tool(
    function_name: str,
    *,
    like: Callable[..., Any] | None = None,
    input_schema: Mapping[str, Any] | None = None,
    mode: Literal["request", "event"] = "request",
    result: ResultPlace | None = None,
    qualifier: str | None = None,
    task_id_field: str = "task_id",
    poll_s: float = 5.0,
    **options: Unpack[ToolOptions],
) -> AsyncTool:
    """Return a tool that calls a Lambda function with a call's arguments as its event.

    With ``mode="request"`` it waits for the answer, up to 15 minutes, and sends the request once. With
    ``mode="event"`` Lambda queues the event; its ``task_id`` says under which id ``result`` is to get the outcome.
    Cancelling the task does not end the function.

    Args:
        function_name: Name or ARN.
        like: A function whose signature and docstring say what the arguments are; it is never called.
        input_schema: JSON schema of the arguments. Without this and ``like`` there is one, ``payload``: the event.
        result: Where the function leaves its result; None with ``mode="event"`` where nobody waits for one.
        qualifier: Version or alias.
        task_id_field: Name of the id in an event.
        poll_s: Longest time between two looks for the result, seconds.

    Raises:
        ToolDefinitionError: If an option cannot be used.
    """
    name = tool_name(function_name)
    if mode not in ("request", "event"):
        raise ToolDefinitionError(f"tool {name!r}: mode={mode!r} is neither 'request' nor 'event'")
    if result is not None and mode == "request":
        raise ToolDefinitionError(f'tool {name!r}: result= needs mode="event"; a request brings its result itself')
    missing = [part for part in _PARTS if not callable(getattr(result, part, None))]
    if result is not None and missing:
        raise ToolDefinitionError(
            f"tool {name!r}: result={result!r:.100} is no place for results, it has no {', '.join(missing)}: give "
            "DynamoDBResult(table), S3Result(bucket), SQSResult(queue_url), or a ResultPlace of your own"
        )
    longest = check_poll(name, poll_s)
    schema, said, event_of = own_arguments(name, "payload", "The function's event.", input_schema, like)
    if mode == "event" and task_id_field in schema.get("properties", {}):
        raise ToolDefinitionError(f"tool {name!r}: {task_id_field!r} is the task's id; give another task_id_field=")
    about = f"Lambda function {function_name}"
    _check_client(name, options.get("client"))
    if result is not None:
        options.setdefault("timeout", _LONGEST_EVENT_S)

    def invoke(access: Access, run: Run, kind: str, event: Mapping[str, Any]) -> Any:
        parameters: dict[str, Any] = {
            "FunctionName": function_name,
            "InvocationType": kind,
            "Payload": json.dumps(event, allow_nan=False).encode(),
            **({"Qualifier": qualifier} if qualifier else {}),
        }
        return run.begin(lambda: access.call("lambda", "invoke", about, once=True, **parameters))

    def make_request(access: Access) -> Callable[[dict[str, Any]], Any]:
        def request(arguments: dict[str, Any]) -> Any:
            run = Run()
            run.at_early_end(_GOES_ON.format(function_name))
            answer = invoke(access, run, "RequestResponse", event_of(arguments))
            with explained("lambda", "invoke", about):
                data = answer["Payload"].read()
            payload = json_of(data) if data else None
            if answer.get("FunctionError"):
                raise _failed(function_name, failure_in(payload))
            return payload

        return request

    def make_event(access: Access) -> Callable[[dict[str, Any]], Any] | Remote:
        if result is None:
            return lambda arguments: put(access, Run(), arguments)
        place = result

        def start(arguments: dict[str, Any]) -> dict[str, Any]:
            run = Run()
            # Before it is sent: another task that looks into the same place may find its result at once.
            place.expect(run.id, task_id_field)
            try:
                put(access, run, arguments)
            except BaseException:
                place.forget(access, run.id, False)
                raise
            return {"event": run.id}

        def follow(handle: Mapping[str, Any]) -> Following:
            token = str(handle["event"])
            place.expect(token, task_id_field)
            where = place.where(token, task_id_field)

            def read(outcome: Outcome) -> Any:
                if outcome.error is not None:
                    raise _failed(function_name, outcome.error)
                return outcome.value

            return Following(
                about,
                lambda: place.look(access, token, task_id_field),
                read,
                longest=longest,
                stop=lambda: _GOES_ON.format(function_name),
                forget=lambda taken: place.forget(access, token, taken),
                advice=f"Look at the log of the function {function_name}{f', and at {where}' if where else ''}",
            )

        return Remote(start, follow)

    def put(access: Access, run: Run, arguments: dict[str, Any]) -> str:
        invoke(access, run, "Event", {**event_of(arguments), task_id_field: run.id})
        return f"Lambda has taken the event for {function_name}. It sends no result back."

    return define(
        "lambda",
        make_request if mode == "request" else make_event,
        name=like.__name__ if like is not None and hasattr(like, "__name__") else name,
        description=said
        or f"Calls the AWS Lambda function {function_name} and returns its answer. It cannot be stopped once it runs.",
        input_schema=schema,
        options=options,
        about=function_name,
    )


def _check_client(tool: str, client: Any) -> None:
    """Warn of a client that may run a function twice."""
    config = getattr(getattr(client, "meta", None), "config", None)
    attempts = (getattr(config, "retries", None) or {}).get("total_max_attempts")
    if config is not None and attempts != 1:
        _log.warning(
            "tool %r: its client sends a request again when there is no answer, and the function runs twice. Make it "
            'with Config(read_timeout=910, tcp_keepalive=True, retries={"total_max_attempts": 1}), or give session=',
            tool,
        )


def _failed(function_name: str, said: str) -> AWSError:
    text = f"The Lambda function {function_name} failed: {said or 'it did not say why'}"
    if "Task timed out after" in said:
        text += ". Raise the function's time-out, or give it less to do"
    if "ResponseSizeTooLarge" in said:
        text += ". Have it put its result into S3, and return the key"
    return AWSError(text, code="FunctionError")
