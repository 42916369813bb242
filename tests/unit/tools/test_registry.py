"""Which tools an agent has."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from backchannel.errors import ToolDefinitionError
from backchannel.tools import AgentTool, ToolRegistry, tool


@tool
def add(a: int) -> int:
    """Add one."""
    return a + 1


def plain(text: str) -> str:
    """Say it back."""
    return text


class Provider:
    def __init__(self, *tools: Any, error: Exception | None = None) -> None:
        self.tools = tools
        self.error = error

    async def load_tools(self, **kwargs: Any) -> list[Any]:
        if self.error is not None:
            raise self.error
        return list(self.tools)


def test_tools_of_all_kinds_are_taken() -> None:
    module = ModuleType("my_tools")
    module.__dict__["two"] = tool(name="two")(plain)
    registry = ToolRegistry()
    names = registry.process_tools(
        [add, plain, module, [tool(name="three")(plain)], Provider(tool(name="four")(plain))]
    )
    assert names == ["add", "plain", "two", "three", "four"] == registry.names
    assert [spec["name"] for spec in registry.specs()] == names
    assert registry.get_all_tools_config()["plain"]["description"] == "Say it back."
    assert registry.get("add") is add
    assert registry.get("nothing") is None
    assert "add" in registry
    assert len(registry) == 5
    assert list(registry) == registry.tools()


async def test_a_provider_is_asked_also_while_a_loop_runs() -> None:
    assert ToolRegistry().process_tools([Provider(add)]) == ["add"]


def test_tools_come_from_files(tmp_path: Path) -> None:
    path = tmp_path / "weather.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from backchannel.tools import tool\n"
        "@dataclass\nclass Place:\n    name: str\n"
        "@tool\ndef weather(place: Place) -> str:\n    return place.name\n"
    )
    registry = ToolRegistry()
    assert registry.process_tools([str(path)]) == ["weather"]
    assert registry.process_tools([path]) == ["weather"]
    properties = registry.specs()[0]["inputSchema"]["json"]["properties"]
    assert properties["place"]["properties"] == {"name": {"type": "string"}}


def test_tools_come_from_importable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_tools_for_a_test.py").write_text(
        "from backchannel.tools import tool\n@tool\ndef one(): pass\ndef other(): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert ToolRegistry().process_tools(["some_tools_for_a_test"]) == ["one"]
    assert ToolRegistry().process_tools(["some_tools_for_a_test:other"]) == ["other"]
    with pytest.raises(ToolDefinitionError, match="has no 'third'"):
        ToolRegistry().process_tools(["some_tools_for_a_test:third"])


def test_a_foreign_tool_is_taken_as_it_is() -> None:
    class Foreign:
        tool_name = "foreign"
        tool_spec: Any = {"name": "foreign", "description": "It is.", "inputSchema": {"json": {}}}
        tool_type = "python"

        async def stream(self, tool_use: Any, invocation_state: Any, **kwargs: Any) -> Any:
            yield {}

    foreign = Foreign()
    registry = ToolRegistry()
    registry.process_tools([foreign])
    assert registry.get("foreign") is foreign


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (5, "it is a int, not a function"),
        (Provider, "call it and give what it returns"),
        (lambda: None, "tool name '<lambda>'"),
        ("no_such_module_anywhere", "no such file and no such module"),
        ("nowhere/tools.py", "'nowhere/tools.py' does not exist"),
        (ModuleType("empty"), "the module 'empty' has no tools"),
        (Provider(error=OSError("unreachable")), "the tool provider Provider failed to load: unreachable"),
    ],
)
def test_what_cannot_become_a_tool_is_named(entry: Any, says: str) -> None:
    registry = ToolRegistry()
    with pytest.raises(ToolDefinitionError) as caught:
        registry.process_tools([add, entry])
    assert says in str(caught.value)
    assert registry.names == []


def test_a_file_that_fails_is_named_with_its_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("1 / 0")
    with pytest.raises(ToolDefinitionError, match=r"broken.py.*ZeroDivisionError"):
        ToolRegistry().process_tools([path])


def test_two_tools_of_one_name_are_refused_and_one_given_twice_is_not() -> None:
    registry = ToolRegistry()
    with pytest.raises(ToolDefinitionError, match="two tools have the name 'add'"):
        registry.process_tools([add, tool(name="add")(plain)])
    assert registry.process_tools([add, add]) == ["add"]


def test_registering_replaces_unless_told_not_to() -> None:
    registry = ToolRegistry()
    registry.register(add)
    other = registry.register(tool(name="add")(plain))
    assert registry.get("add") is other
    with pytest.raises(ToolDefinitionError, match="there is a tool 'add' already"):
        registry.register(add, replace=False)
    assert isinstance(registry.register(plain), AgentTool)


def test_listeners_hear_of_each_change_until_they_are_removed() -> None:
    registry = ToolRegistry()
    heard: list[list[str]] = []
    remove = registry.on_change(lambda: heard.append(registry.names))
    registry.process_tools([add, plain])
    registry.register(add)
    assert registry.unregister("add")
    assert not registry.unregister("add")
    assert heard == [["add", "plain"], ["plain"]]
    remove()
    remove()
    registry.register(add)
    assert len(heard) == 2


def test_a_listener_that_raises_is_logged_and_the_others_still_hear(caplog: pytest.LogCaptureFixture) -> None:
    registry = ToolRegistry()
    heard: list[int] = []

    def fail() -> None:
        raise ValueError("deaf")

    registry.on_change(fail)
    registry.on_change(lambda: heard.append(1))
    registry.register(add)
    assert heard == [1]
    assert "deaf" in caplog.text


def test_threads_may_register_at_the_same_time() -> None:
    registry = ToolRegistry()
    start = threading.Barrier(4)

    def register(worker: int) -> None:
        start.wait(10)
        for number in range(50):
            registry.register(tool(name=f"tool_{worker}_{number}")(plain))

    threads = [threading.Thread(target=register, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(registry) == 200
