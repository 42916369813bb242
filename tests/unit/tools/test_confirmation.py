"""What a person is asked before a tool runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import ToolArgumentsError, ToolDefinitionError
from backchannel.messages import ToolUse
from backchannel.tasks import AsyncToolManager, async_tool
from backchannel.tools import tool
from backchannel.tools.confirmation import question_for


def delete(path: Path, force: bool = False) -> str:
    """Delete a file."""
    return f"{path} {force}"


def use(arguments: Any, name: str = "delete") -> ToolUse:
    return {"toolUseId": "c1", "name": name, "input": arguments}


def test_a_tool_without_confirm_is_not_asked_about():
    assert question_for(tool(delete), use({"path": "a"})) is None
    assert tool(delete).confirm is False
    assert async_tool(delete).confirm is False


@pytest.mark.parametrize("decorate", [tool, async_tool])
def test_the_plain_question_names_the_call(decorate: Any):
    made = decorate(confirm=True)(delete)
    assert question_for(made, use({"path": "/tmp/a b", "force": "true"})) == 'Run delete(path="/tmp/a b", force=true)?'


@pytest.mark.parametrize("decorate", [tool, async_tool])
def test_a_question_is_filled_in_with_checked_arguments_and_defaults(decorate: Any):
    made = decorate(confirm="Delete {path.name}, by force: {force}?")(delete)
    assert question_for(made, use({"path": "/tmp/a"})) == "Delete a, by force: False?"


def test_arguments_that_do_not_fit_are_not_asked_about():
    made = tool(confirm="Delete {path}?")(delete)
    for arguments in ({}, {"path": 3}, {"path": "a", "more": 1}, "a", [1]):
        with pytest.raises(ToolArgumentsError):
            question_for(made, use(arguments))


@pytest.mark.parametrize(
    ("confirm", "why"),
    [
        ("", "must be True"),
        (" ", "must be True"),
        (None, "must be True"),
        (1, "must be True"),
        ("Delete {file}?", "names {file}, which is none of its parameters: path, force"),
        ("Delete {}?", "names {}"),
        ("Delete {0}?", "names {0}"),
        ("Delete {path?", "cannot be read"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_where_it_is_written(confirm: Any, why: str):
    for make in (tool, async_tool):
        with pytest.raises(ToolDefinitionError) as raised:
            make(confirm=confirm)(delete)
        assert why in str(raised.value)


def test_a_question_whose_format_does_not_suit_the_value_becomes_the_plain_one():
    made = tool(confirm="Delete {path.nothing}?")(delete)
    assert question_for(made, use({"path": "a"})) == 'Run delete(path="a")?'


def test_a_value_cannot_hide_or_turn_around_the_rest_of_the_question():
    made = tool(confirm="Delete {path}, by force: {force}?")(delete)
    asked = question_for(made, use({"path": "a\n\n\u202eb\u0000 {force}" + 5000 * "c", "force": True}))
    assert asked is not None
    assert asked.startswith("Delete a b {force}c")
    assert "characters in all" in asked
    assert asked.endswith(", by force: True?")
    assert asked.isprintable()


def shell(command: str, note: str = "") -> str:
    """Run a command."""
    return command


PLAIN, FORMATTED = tool(confirm=True)(shell), tool(confirm="Run {command}?")(shell)


@pytest.mark.parametrize(
    "gap", [" " * 400, "\n" * 400, "\t \u3000", "\u200b\u2800", "\u3164" * 99, "\u2060\u00ad", "\u0000\ufe0f "]
)
def test_blanks_and_what_nobody_sees_do_not_push_the_end_out_of_sight(gap: str):
    asked = question_for(FORMATTED, use({"command": f"ls{gap}; rm -rf /data"}))
    assert asked == "Run ls ; rm -rf /data?"
    assert asked.whole
    plain = question_for(PLAIN, use({"command": f"ls{gap}; rm -rf /data"}))
    assert plain is not None
    assert plain.startswith('Run shell(command="ls')
    assert plain.endswith('; rm -rf /data")?')


@pytest.mark.parametrize("made", [PLAIN, FORMATTED])
@pytest.mark.parametrize("length", [310, 5000, 1_000_000])
def test_a_long_value_shows_its_head_and_its_tail_and_says_that_it_is_not_all(made: Any, length: int):
    asked = question_for(made, use({"command": "echo " + "a" * length + "; rm -rf /data"}))
    assert asked is not None
    assert "echo aaa" in asked
    assert "; rm -rf /data" in asked
    assert f"{length + 19:,}" in asked or f"{length + 21:,}" in asked
    assert not asked.whole


def test_of_many_arguments_the_first_and_the_last_are_shown():
    @tool(confirm=True)
    def many(**values: str) -> None:
        """Take many."""

    asked = question_for(many, use({**{f"a{n}": "x" * 290 for n in range(9)}, "target": "prod"}))
    assert asked is not None
    assert asked.startswith("Run many(a0=")
    assert asked.endswith('target="prod")?')
    assert not asked.whole


def test_a_value_that_looks_like_the_end_of_the_question_is_quoted():
    hostile = "ls)? (This was approved.) Run harmless("
    assert question_for(FORMATTED, use({"command": hostile})) == f"Run “{hostile}”?"
    assert question_for(FORMATTED, use({"command": "a”? “b"})) == "Run “a'? 'b”?"


@pytest.mark.parametrize("width", [">999999999", "0>1000", ".999999999f", "9" * 5000])
def test_no_argument_makes_the_question_wide(width: str):
    @tool(confirm="Pad {text:{width}}?")
    def pad(text: str, width: str) -> None:
        """Pad."""

    asked = question_for(pad, use({"text": "a", "width": width}))
    assert asked is not None
    assert asked.startswith('Run pad(text="a", width=')
    assert len(asked) <= 2000
    assert question_for(pad, use({"text": "a", "width": ">3"})) == "Pad a?"


class Rude:
    def __format__(self, spec: str) -> str:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize(
    "value",
    [10**5000, -(10**5000), float("nan"), Rude(), [Rude()], {"a": 10**5000}],
    ids=lambda value: type(value).__name__,
)
def test_any_value_can_be_asked_about(value: Any):
    def keep(value: Any) -> None:
        """Keep."""

    for confirm in (True, "Keep {value}?"):
        asked = question_for(tool(confirm=confirm)(keep), use({"value": value}))
        assert asked is not None
        assert len(asked) <= 2000


@given(st.text(), st.booleans())
def test_any_text_can_be_asked_about(path: str, force: bool):
    @tool(confirm="Delete {path}?")
    def remove(path: str, force: bool) -> None:
        """Delete."""

    for made in (remove, tool(confirm=True)(delete)):
        asked = question_for(made, use({"path": path, "force": force}))
        assert asked is not None
        assert asked.isprintable()
        assert len(asked) <= 2000


def test_a_thousand_arguments_make_a_bounded_question():
    @tool(confirm=True)
    def many(**values: str) -> None:
        """Take many."""

    asked = question_for(many, use({f"name{n}": "x" * 1000 for n in range(1000)}))
    assert asked is not None
    assert len(asked) <= 2000


def test_wrapping_a_confirmed_tool_again_keeps_its_question():
    confirmed = tool(confirm="Delete {path}?")(delete)
    assert tool(name="remove")(confirmed).confirm == "Delete {path}?"
    assert async_tool(confirmed).confirm == "Delete {path}?"


def test_a_method_and_a_function_with_an_attribute_of_that_name_keep_the_tools_own():
    def remove(path: str) -> None:
        """Delete."""

    remove.confirm = False  # type: ignore[attr-defined]
    assert tool(confirm=True)(remove).confirm is True
    assert async_tool(confirm=True)(remove).confirm is True

    class Files:
        @tool(confirm=True)
        def remove(self, path: str) -> None:
            """Delete."""

        @async_tool(confirm="Later {path}?")
        def later(self, path: str) -> None:
            """Delete later."""

    assert Files().remove.confirm is True
    assert Files().later.confirm == "Later {path}?"


class Foreign:
    """A tool that knows nothing of ours."""

    tool_name = "wipe"
    tool_type = "foreign"

    def __init__(self, confirm: Any, schema: Any) -> None:
        self.confirm = confirm
        self.tool_spec = {"name": "wipe", "description": "Wipe.", "inputSchema": {"json": schema}}

    async def stream(self, tool_use: Any, invocation_state: dict[str, Any], **kwargs: Any) -> AsyncIterator[Any]:
        yield "wiped"


SCHEMA = {"type": "object", "properties": {"disk": {"type": "string"}}, "required": ["disk"]}


@pytest.mark.parametrize(
    ("confirm", "schema", "question"),
    [
        (True, SCHEMA, 'Run wipe(disk="sda")?'),
        ("Wipe {disk}?", SCHEMA, "Wipe sda?"),
        ("Wipe {drive}?", SCHEMA, 'Run wipe(disk="sda")?'),
        (1, SCHEMA, 'Run wipe(disk="sda")?'),
        (True, {"type": "nonsense"}, 'Run wipe(disk="sda")?'),
        (False, SCHEMA, None),
        ("", SCHEMA, None),
    ],
)
def test_a_tool_from_elsewhere_is_asked_about_if_it_says_so(confirm: Any, schema: Any, question: str | None):
    assert question_for(Foreign(confirm, schema), use({"disk": "sda"}, "wipe")) == question


def test_the_arguments_of_a_tool_from_elsewhere_are_checked_by_its_schema():
    with pytest.raises(ToolArgumentsError, match="disk"):
        question_for(Foreign(True, SCHEMA), use({}, "wipe"))


def test_a_call_that_takes_another_tasks_result_is_asked_about_by_that_tasks_name():
    manager = AsyncToolManager()
    loaded = manager.start("load", lambda name: 7, {"name": "sales"})
    loaded.result(10)

    @async_tool(manager, confirm=True, takes_results=True)
    def double(number: int, force: bool = False) -> int:
        """Double it."""
        return 2 * number

    call = use({"number": {"$task": loaded.id}}, "double")
    assert question_for(double, call) == 'Run double(number="result of task 1, load sales")?'
    with pytest.raises(ToolArgumentsError, match="no task 'nothing'"):
        question_for(double, use({"number": {"$task": "nothing"}}, "double"))
    with pytest.raises(ToolArgumentsError):
        question_for(double, use({"number": {"$task": loaded.id}, "force": "perhaps"}, "double"))
    asked = double.options(confirm="Double {number}?")
    assert question_for(asked, call) == "Double result of task 1, load sales?"
    manager.shutdown()
