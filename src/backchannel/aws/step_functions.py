"""Step Functions: a tool that starts an execution, shows the states it goes through, and stops it on cancel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from ..errors import AWSError
from ..tasks import AsyncTool, progress
from ..tools.text import cut
from .access import Access
from .definition import ToolOptions, check_poll, define, own_arguments, tool_name
from .run import Following, Remote, Run
from .states import StateProgress, chain

__all__ = ["step_functions_tool"]

_NAME_LENGTH = 80
_PAGE = 100


def step_functions_tool(
    state_machine_arn: str,
    *,
    like: Callable[..., Any] | None = None,
    input_schema: Mapping[str, Any] | None = None,
    poll_s: float = 5.0,
    **options: Unpack[ToolOptions],
) -> AsyncTool:
    """Return a tool that runs a standard state machine and returns its output.

    An execution's name begins with the id of its task. It is stopped when the task is cancelled or times out.

    Args:
        state_machine_arn: ARN of the state machine, also of a version or alias.
        like: A function whose signature and docstring say what the arguments are; it is never called.
        input_schema: JSON schema of the arguments. Without this and ``like`` there is one, ``input``: the input.
        poll_s: Longest time between two looks, seconds.

    Raises:
        ToolDefinitionError: If an option cannot be used.
    """
    name = tool_name(state_machine_arn)
    longest = check_poll(name, poll_s)
    schema, said, input_of = own_arguments(name, "input", "The execution's input.", input_schema, like)
    about = f"state machine {state_machine_arn}"

    def make(access: Access) -> Remote:
        def call(method: str, what: str = about, **parameters: Any) -> Any:
            return access.call("stepfunctions", method, what, **parameters)

        def start(arguments: dict[str, Any]) -> dict[str, Any]:
            # Sent again it is the same execution, as its name is the same.
            started = call(
                "start_execution",
                stateMachineArn=state_machine_arn,
                name=Run().id[:_NAME_LENGTH],
                input=json.dumps(input_of(arguments)),
            )
            return {"execution": started["executionArn"]}

        def follow(handle: Mapping[str, Any]) -> Following:
            arn = str(handle["execution"])
            execution = f"execution {arn}"
            states: StateProgress | None = None
            history = True

            def report() -> bool:
                nonlocal states
                if states is None:
                    states = StateProgress(_names(call, arn, execution))
                return _report(call, arn, execution, states)

            def look() -> Any:
                nonlocal history
                found = call("describe_execution", execution, executionArn=arn)
                if found["status"] in ("RUNNING", "PENDING_REDRIVE"):
                    history = history and report()
                    return None
                return found

            def read(found: Mapping[str, Any]) -> Any:
                if found["status"] != "SUCCEEDED":
                    if history:
                        report()
                    raise _unsuccessful(found, execution, states.current if states is not None else "")
                output = found.get("output")
                return None if output is None else json.loads(output)

            def stop() -> str:
                call("stop_execution", execution, executionArn=arn, cause="The task was to end.")
                return f"The {execution} was stopped."

            return Following(execution, look, read, longest=longest, stop=stop)

        return Remote(start, follow)

    return define(
        "stepfunctions",
        make,
        name=like.__name__ if like is not None and hasattr(like, "__name__") else name,
        description=said or f"Runs the AWS Step Functions state machine {tool_name(state_machine_arn)}.",
        input_schema=schema,
        options=options,
        about=state_machine_arn,
    )


def _names(call: Callable[..., Any], arn: str, execution: str) -> list[str] | None:
    """Return the states to come, if they are known and may be looked at."""
    try:
        found = call("describe_state_machine_for_execution", execution, executionArn=arn)
        return chain(json.loads(found["definition"]))
    except (AWSError, ValueError, KeyError):
        return None


def _report(call: Callable[..., Any], arn: str, execution: str, states: StateProgress) -> bool:
    """Report the newest states; False if the history may not be looked at."""
    pages: list[Any] = []
    parameters: dict[str, Any] = {"executionArn": arn, "reverseOrder": True, "maxResults": _PAGE}
    try:
        while True:
            page = call("get_execution_history", execution, **parameters)
            pages += page["events"]
            if "nextToken" not in page or not page["events"] or page["events"][-1]["id"] <= states.seen:
                break
            parameters["nextToken"] = page["nextToken"]
    except AWSError as error:
        return error.may_pass
    if states.take(pages):
        progress(states.done, states.total, states.current)
    return True


def _unsuccessful(found: Mapping[str, Any], execution: str, state: str) -> AWSError:
    ends = {"FAILED": "failed", "TIMED_OUT": "ran into its own time-out", "ABORTED": "was stopped by someone else"}
    text = f"The {execution} {ends.get(found['status'], found['status'])}"
    if state:
        text += f" in or after the state {state}"
    said = ": ".join(cut(str(found[part]), 1000) for part in ("error", "cause") if found.get(part))
    return AWSError(f"{text}: {said}" if said else f"{text}.", code=str(found.get("error") or found["status"]))
