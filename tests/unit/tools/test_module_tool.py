"""Tools written as modules, without any other library."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import pytest

from backchannel.errors import ToolDefinitionError
from backchannel.tools import ToolRegistry, run_tool

SPEC: dict[str, Any] = {
    "name": "shout",
    "description": "Say it loud.",
    "inputSchema": {"json": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
}


def module(function: Any, spec: Any = SPEC, name: str = "shout") -> ModuleType:
    made = ModuleType(f"somewhere.{name}")
    made.__dict__.update({"TOOL_SPEC": spec, name: function})
    return made


async def result(function: Any, arguments: Any = None, state: dict[str, Any] | None = None) -> Any:
    registry = ToolRegistry()
    registry.process_tools([module(function)])
    use: Any = {"toolUseId": "c1", "name": "shout", "input": {"n": 1} if arguments is None else arguments}
    (event,) = [event async for event in run_tool(registry.get("shout"), use, state or {})]
    return event.tool_result


async def test_the_function_gets_the_call_with_checked_arguments_and_what_it_asks_for_of_the_state():
    def shout(tool: Any, user: str, other: str = "none") -> Any:
        return [tool["input"], tool["toolUseId"], user, other]

    found = await result(shout, {"n": "2"}, {"user": "Ada", "agent": None, "tool": "not this one"})
    assert found["content"] == [{"text": '[{"n": 2}, "c1", "Ada", "none"]'}]


async def test_its_result_has_the_id_of_the_call_whatever_it_says():
    def shout(tool: Any, **kwargs: Any) -> Any:
        return {"toolUseId": "mine", "status": "error", "content": [{"text": "no"}]}

    assert await result(shout) == {"toolUseId": "c1", "status": "error", "content": [{"text": "no"}]}


async def test_arguments_that_do_not_fit_never_reach_it():
    called: list[Any] = []
    found = await result(called.append, {"n": "many"})
    assert (found["status"], called) == ("error", [])


@pytest.mark.parametrize("error", [ValueError("broke"), SystemExit("out"), asyncio.CancelledError("inner")])
async def test_what_it_raises_is_an_error_result(error: BaseException):
    async def shout(tool: Any) -> None:
        raise error

    found = await result(shout)
    assert found["status"] == "error"
    assert str(error) in found["content"][0]["text"]


async def test_cancellation_goes_through():
    started = asyncio.Event()

    async def shout(tool: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    call = asyncio.create_task(result(shout))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (module(print, spec="text"), "TOOL_SPEC is a dict, not str"),
        (module(None), "no function 'shout'"),
        (module(print, spec={**SPEC, "name": "shout it"}), "'shout it' cannot be used"),
        (module(print, spec={**SPEC, "inputSchema": None}), "'shout': its inputSchema must be"),
        (module(print, spec={**SPEC, "description": ""}), "'shout': its description is empty"),
        (module(print, spec={"description": "d"}), "tool name None"),
        (ModuleType("somewhere.empty"), "the module 'empty' has no tools"),
    ],
)
def test_a_module_that_cannot_be_used_is_named(made: ModuleType, says: str):
    with pytest.raises(ToolDefinitionError) as caught:
        ToolRegistry().process_tools([made])
    assert says in str(caught.value)


def test_objects_that_have_every_attribute_are_not_taken_for_tools():
    class Anything:
        def __getattr__(self, name: str) -> Any:
            return self

    made = module(lambda tool: None)
    made.__dict__["client"] = Anything()
    assert ToolRegistry().process_tools([made]) == ["shout"]
