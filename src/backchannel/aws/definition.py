"""Definitions: names, schemas and options that the AWS tools have in common."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from ..errors import ToolDefinitionError
from ..tasks import AsyncTool, AsyncToolManager, Deferred
from ..tools.schema import FunctionSchema
from .access import Access
from .run import Remote

if TYPE_CHECKING:
    import boto3

    from ..tasks.task import Announce

__all__ = ["ToolOptions", "check_poll", "define", "own_arguments", "prefixed", "tool_name"]

_ACCESS = ("client", "session", "region_name", "profile_name", "endpoint_url")
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


class ToolOptions(TypedDict, total=False):
    """What every AWS tool takes: the options of `backchannel.tasks.AsyncTool`, and how to reach AWS.

    Attributes:
        client: A boto3 client of the tool's service, used as it is.
        session: A boto3 session, instead of the configured credentials and region.
        region_name, profile_name: Instead of the configured ones.
        endpoint_url: Where the tool's own service is, instead of AWS; for tests and private endpoints. For all
            services there is boto3's ``AWS_ENDPOINT_URL``.
        timeout: Longest run, seconds.
    """

    manager: AsyncToolManager | None
    name: str | None
    description: str | None
    confirm: bool | str
    timeout: float | None
    announce: Announce
    grace_s: float
    client: Any
    session: boto3.Session | None
    region_name: str | None
    profile_name: str | None
    endpoint_url: str | None


def tool_name(text: str) -> str:
    """Return a tool's name made from that of something in AWS, or from its ARN.

    Raises:
        ToolDefinitionError: If it is no name.
    """
    if not isinstance(text, str) or not text.strip():
        raise ToolDefinitionError(f"{text!r:.100} names nothing in AWS: give a name or an ARN")
    last = text
    if text.startswith("arn:"):
        parts = text.split(":")
        last = parts[6] if len(parts) > 6 else parts[-1]
    words = re.sub(r"[^A-Za-z0-9]+", "_", last.rpartition("/")[2].partition(":")[0]).strip("_")
    return words[:64] or "aws_tool"


def prefixed(verb: str, text: str) -> str:
    """Return a tool's name such as ``get_orders``."""
    return f"{verb}_{tool_name(text)}"[:64]


def access_of(service: str, options: ToolOptions, about: str = "") -> Access:
    """Return how to reach AWS with these options."""
    return Access(
        service,
        client=options.get("client"),
        session=options.get("session"),
        region_name=options.get("region_name"),
        profile_name=options.get("profile_name"),
        endpoint_url=options.get("endpoint_url"),
        name=about,
    )


def define(
    service: str,
    make: Callable[[Access], Callable[[dict[str, Any]], Any] | Remote],
    *,
    name: str,
    description: str,
    input_schema: Mapping[str, Any],
    options: ToolOptions,
    about: str = "",
) -> AsyncTool:
    """Return the tool.

    Args:
        make: Given the access, returns what is run with a call's checked arguments: a function, or something in AWS.
        name, description: Unless the options have others.
        about: Name or ARN of what the service is asked about.

    Raises:
        ToolDefinitionError: If an option is unknown or cannot be used.
    """
    unknown = set(options) - set(ToolOptions.__annotations__)
    if unknown:
        known = ", ".join(ToolOptions.__annotations__)
        raise ToolDefinitionError(f"tool {name!r}: no such option: {', '.join(sorted(unknown))}; known are {known}")
    for property_name in input_schema.get("properties", {}):
        if not _PROPERTY.match(property_name):
            raise ToolDefinitionError(
                f"tool {name!r}: models would refuse the parameter name {property_name!r:.100}: it must be 1 to 64 of "
                "the letters a-z and A-Z, digits, _, . and -"
            )
    made = make(access_of(service, options, about))

    def run(**arguments: Any) -> Any:
        if isinstance(made, Remote):
            handle = made.start(arguments)
            return made.follow(handle).begin(handle)
        return made(arguments)

    def resume(handle: Mapping[str, Any]) -> Deferred:
        assert isinstance(made, Remote)
        return made.follow(handle).deferred(handle)

    run.__signature__ = _signature(input_schema)  # type: ignore[attr-defined]
    run.__name__ = run.__qualname__ = options.get("name") or name
    run.__doc__ = options.get("description") or description
    # A client of boto3 goes to no other process, and needs none: it waits.
    rest: dict[str, Any] = {"runner": "thread", "resume": resume if isinstance(made, Remote) else None} | {
        key: value
        for key, value in options.items()
        if key not in (*_ACCESS, "name", "description") and not (key == "confirm" and value is None)
    }
    return AsyncTool(run, name=run.__name__, description=run.__doc__, input_schema=input_schema, **rest)


def own_arguments(
    tool: str, parameter: str, said: str, input_schema: Mapping[str, Any] | None, like: Callable[..., Any] | None
) -> tuple[Mapping[str, Any], str | None, Callable[[dict[str, Any]], dict[str, Any]]]:
    """Return the schema of the arguments that make up a JSON input, a description, and what makes the input of them.

    Args:
        parameter, said: The one parameter that there is where neither a schema nor a function is given.
        like: A function whose signature and docstring say which arguments there are; it is never called.

    Raises:
        ToolDefinitionError: If both are given, or one cannot be used.
    """
    if input_schema is not None and like is not None:
        raise ToolDefinitionError(f"tool {tool!r}: give input_schema= or like=, not both")
    if like is not None:
        schema = FunctionSchema(like, name=tool)
        return schema.input_schema, schema.description or None, _with_defaults(schema.input_schema)
    if input_schema is not None:
        if not isinstance(input_schema, Mapping):
            raise ToolDefinitionError(f"tool {tool!r}: input_schema= is a JSON schema, not {input_schema!r:.100}")
        plain = input_schema.get("json", input_schema)
        return plain, None, _with_defaults(plain)
    one = {
        "type": "object",
        "properties": {parameter: {"type": "object", "description": said, "default": {}}},
    }
    return one, None, lambda arguments: dict(arguments.get(parameter) or {})


def _with_defaults(input_schema: Mapping[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    properties = input_schema.get("properties", {})
    defaults = {name: about["default"] for name, about in properties.items() if "default" in about}
    return lambda arguments: {**defaults, **arguments}


def check_poll(tool: str, poll_s: float) -> float:
    """Return the longest time between two looks, seconds.

    Raises:
        ToolDefinitionError: If it is not more than 0.
    """
    if isinstance(poll_s, bool) or not isinstance(poll_s, (int, float)) or not 0 < poll_s < float("inf"):
        raise ToolDefinitionError(f"tool {tool!r}: poll_s={poll_s!r} must be more than 0 seconds")
    return float(poll_s)


def _signature(input_schema: Mapping[str, Any]) -> inspect.Signature:
    """Return the signature for calls by hand; the order is that of the schema, what is required first."""
    names = list(input_schema.get("properties", {}))
    if not all(name.isidentifier() and not keyword.iskeyword(name) for name in names):
        return inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)])
    required = set(input_schema.get("required", ()))
    names.sort(key=lambda name: name not in required)
    place = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature(
        [
            inspect.Parameter(name, place) if name in required else inspect.Parameter(name, place, default=None)
            for name in names
        ]
    )
