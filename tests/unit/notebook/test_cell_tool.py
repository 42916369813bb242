from __future__ import annotations

import pytest

from backchannel.errors import ToolDefinitionError
from backchannel.notebook.cell_tool import CellTool, find_tool

GOOD = 'def train(epochs: int) -> str:\n    """Train."""\n    return ""\n'


def test_the_only_function_is_the_tool() -> None:
    assert find_tool("import os\n" + GOOD + "x = 1") == CellTool("train")
    assert find_tool("async " + GOOD).name == "train"
    assert find_tool("@property\n" + GOOD).name == "train"


def test_helpers_that_begin_with_an_underscore_may_stand_beside_it() -> None:
    assert find_tool(GOOD + "def _scores(): ...").name == "train"


def test_a_lonely_function_may_begin_with_an_underscore() -> None:
    assert find_tool("def _train(): ...").name == "_train"


@pytest.mark.parametrize("source", ["", "x = 1", "class Train:\n    def run(self): ...", "f = lambda: 1"])
def test_a_cell_without_a_function_is_refused(source: str) -> None:
    with pytest.raises(ToolDefinitionError, match="no function"):
        find_tool(source)


def test_two_functions_are_refused_by_name() -> None:
    with pytest.raises(ToolDefinitionError, match="which function is the tool: train, test"):
        find_tool(GOOD + "def test(): ...")
    with pytest.raises(ToolDefinitionError, match="_a, _b"):
        find_tool("def _a(): ...\ndef _b(): ...")


def test_the_same_function_twice_is_one_function() -> None:
    assert find_tool(GOOD + GOOD).name == "train"


@pytest.mark.parametrize(
    "line",
    ["await go()", "x = [await go()]", "async with go(): ...", "async for x in go(): ...", "[x async for x in go()]"],
)
def test_a_top_level_await_is_refused(line: str) -> None:
    with pytest.raises(ToolDefinitionError, match="awaits outside"):
        find_tool(GOOD + line)


def test_an_await_inside_of_the_function_is_fine() -> None:
    assert find_tool('async def go() -> None:\n    """Go."""\n    await other()').name == "go"


def test_what_a_model_will_miss_is_said() -> None:
    notices = find_tool("def go(a, *, b): ...").notices
    assert len(notices) == 2
    assert "docstring" in notices[0]
    assert "a, b" in notices[1]


def test_what_is_not_python_stays_a_syntax_error() -> None:
    with pytest.raises(SyntaxError):
        find_tool("def train(:")
