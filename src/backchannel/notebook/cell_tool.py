"""CellTool: which function of a cell is to become a tool. Pure."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from ..errors import ToolDefinitionError

__all__ = ["CellTool", "find_tool"]


@dataclass(frozen=True, slots=True)
class CellTool:
    """The function's name, and what a model will miss about it, in sentences."""

    name: str
    notices: tuple[str, ...] = ()


def find_tool(source: str) -> CellTool:
    """Return the one function that a cell declares as a tool.

    Helpers may stand beside it if their names begin with an underscore.

    Args:
        source: Plain Python; IPython's own syntax is already translated.

    Raises:
        SyntaxError: If it is not Python.
        ToolDefinitionError: If there is no such function, more than one, or a top-level ``await``.
    """
    module = ast.parse(source)
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    public = [name for name in functions if not name.startswith("_")]
    if not functions:
        raise ToolDefinitionError("%%async_tool: the cell has no function. Put one 'def' into it.")
    if len(public) > 1 or (not public and len(functions) > 1):
        raise ToolDefinitionError(
            f"%%async_tool: which function is the tool: {', '.join(public or functions)}? Leave one, and begin the "
            "names of its helpers with an underscore, or put them into a cell of their own."
        )
    if _awaits(module):
        raise ToolDefinitionError(
            "%%async_tool: the cell awaits outside of its function. Move that into the function or another cell."
        )
    name = (public or list(functions))[0]
    return CellTool(name, _notices(functions[name]))


def _awaits(module: ast.Module) -> bool:
    todo: list[ast.AST] = list(module.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
            return True
        if isinstance(node, ast.comprehension) and node.is_async:
            return True
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        todo += ast.iter_child_nodes(node)
    return False


def _notices(function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    notices = []
    if not ast.get_docstring(function):
        notices.append(f"{function.name} has no docstring: a model knows it by its name only.")
    arguments = function.args
    untyped = [
        argument.arg
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        if argument.annotation is None
    ]
    if untyped:
        notices.append(f"{function.name}: {', '.join(untyped)} without a type: anything is accepted there.")
    return tuple(notices)
