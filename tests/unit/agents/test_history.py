"""What a model is told of the conversation so far: always valid, nothing lost, nothing changed that was right."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.agents.history import (
    PassingText,
    history_for_model,
    late_result_text,
    result_line,
    shrunk,
    task_line,
)
from backchannel.agents.repair import repaired
from backchannel.events import TaskFinished
from backchannel.messages import Messages, ToolResult, ToolUse, validate_messages
from backchannel.tasks import AsyncTaskResult
from tests.support.histories import any_histories, texts, valid_histories
from tests.unit.test_messages import answer, assistant, call, user

INTERRUPTED = {"content": [{"text": "was interrupted: no result"}], "status": "error"}
FORMS = ("note", "call")


def use(call_id: str = "c1", name: str = "train", **arguments: Any) -> ToolUse:
    return {"toolUseId": call_id, "name": name, "input": arguments}


def said(messages: Messages) -> list[str]:
    return [block["text"] for message in messages for block in message["content"] if "text" in block]


def repair(*messages: Any) -> Messages:
    return history_for_model(list(messages), {}, "note")


# What is right stays


@given(valid_histories())
def test_a_valid_history_stays_as_it_is(messages: Messages) -> None:
    for form in FORMS:
        result = history_for_model(messages, {}, form)  # type: ignore[arg-type]
        assert result is not messages
        assert len(result) == len(messages)
        assert all(now is then for now, then in zip(result, messages, strict=True))


@given(valid_histories(), valid_histories())
def test_messages_that_need_no_repair_stay_the_same_objects(messages: Messages, more: Messages) -> None:
    odd: Any = {"role": "MODEL", "content": [{"text": "hello"}]}
    for index, message in enumerate(more):
        for block in message["content"]:
            for kind in ("toolUse", "toolResult"):
                if kind in block:
                    block[kind]["toolUseId"] += f"-{index // 1000}-second"  # type: ignore[literal-required]
    result = repaired([*messages, odd, *more])
    assert all(now is then for now, then in zip(result[: len(messages)], messages, strict=True))
    assert all(now is then for now, then in zip(result[len(messages) + 1 :], more, strict=True))


# Whatever it is, it becomes valid

open_calls = st.dictionaries(
    st.sampled_from(["a", "b", "c", "open"]),
    st.fixed_dictionaries(
        {
            "toolUseId": st.just("a"),
            "name": st.just("train"),
            "input": st.sampled_from([{"x": 1}, {"x": 2}, "odd", None]),
        }
    ),
    max_size=3,
)


@given(any_histories(), open_calls, st.sampled_from(FORMS))
@example([], {}, "call")
def test_any_history_becomes_valid_and_stays_so(messages: Any, running: Any, form: Literal["note", "call"]) -> None:
    before = repr(messages), repr(running)
    result = history_for_model(messages, running, form)
    assert validate_messages(result, open_ok=running if form == "call" else ()) == []
    again = history_for_model(result, running, form)
    assert again == result
    assert (repr(messages), repr(running)) == before


@given(any_histories())
def test_a_repaired_history_needs_no_repair(messages: Any) -> None:
    result = repaired(messages)
    again = repaired(result)
    assert all(now is then for now, then in zip(again, result, strict=True))


pieces = st.one_of(
    st.fixed_dictionaries({"text": texts.map(lambda text: f"said: {text}")}),
    st.sampled_from([call(one)["content"][0] for one in "abc"]),
    st.sampled_from([answer(one)["content"][0] for one in "abc"]),
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "model", "ASSISTANT", "tool"]), "content": st.lists(pieces, max_size=4)}
        ),
        max_size=10,
    ),
    st.sampled_from(FORMS),
)
def test_all_text_is_kept_in_order(messages: Any, form: Literal["note", "call"]) -> None:
    result = history_for_model(messages, {"c": use("c")}, form)
    assert [text for text in said(result) if text.startswith("said: ")] == said(messages)


@given(
    st.lists(
        st.sampled_from([call(one) for one in "abc"] + [answer(one) for one in "abc"] + [user(), assistant()]),
        max_size=12,
    )
)
def test_no_result_of_a_call_is_lost(messages: Any) -> None:
    given = sum("toolResult" in message["content"][0] for message in messages)
    result = repaired(messages)
    results = [block["toolResult"] for message in result for block in message["content"] if "toolResult" in block]
    answered = sum(one["status"] == "success" for one in results)
    noted = sum(text.startswith("[Result of an earlier call") for text in said(result))
    assert answered + noted == given
    assert len(results) == sum("toolUse" in message["content"][0] for message in messages)


# Roles and content


@pytest.mark.parametrize(
    "role, becomes",
    [
        ("USER", "user"),
        (" Assistant ", "assistant"),
        ("ASSISTANT", "assistant"),
        ("model", "assistant"),
        ("tool", "user"),
        ("system", "user"),
        (None, "user"),
        (["assistant"], "user"),
    ],
)
def test_roles_become_user_and_assistant(role: Any, becomes: str) -> None:
    assert repair({"role": role, "content": [{"text": "hello"}]}) == [{"role": becomes, "content": [{"text": "hello"}]}]


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        "text",
        {},
        {"role": "user"},
        {"role": "user", "content": []},
        {"role": "user", "content": None},
        {"role": "user", "content": [{"text": " \n"}, {"text": None}, {}, {"image": {}}, {"type": "text"}, None]},
    ],
)
def test_what_is_empty_is_left_out(nothing: Any) -> None:
    assert repair(user(), nothing, assistant()) == [user(), assistant()]


def test_text_in_other_forms_is_read() -> None:
    assert repair({"role": "user", "content": "hello"}) == [user()]
    assert repair({"role": "user", "content": ["hello"]}) == [user()]
    assert repair({"role": "user", "content": ({"type": "text", "text": "hello"},)}) == [user()]
    assert repair({"role": "user", "content": [{"text": 5}]}) == [user("5")]
    assert repair(user("a\ud83d\ude00b\ud800")) == [user("a\N{GRINNING FACE}b\N{REPLACEMENT CHARACTER}")]


def test_neighbours_of_one_role_are_not_merged() -> None:
    assert repair(user("one"), {"role": "USER", "content": "two"}) == [user("one"), user("two")]


def test_content_of_other_kinds_is_kept() -> None:
    image = {"image": {"format": "png", "source": {"bytes": b"x"}}}
    assert repair({"role": "USER", "content": [image, {"somethingNew": {"a": 1}}]}) == [
        {"role": "user", "content": [image, {"somethingNew": {"a": 1}}]}
    ]


def test_a_block_of_several_kinds_is_divided() -> None:
    block = {"text": "I train", **call("a")["content"][0]}
    assert repair({"role": "assistant", "content": [block]}, answer("a")) == [
        {"role": "assistant", "content": [{"text": "I train"}, *call("a")["content"]]},
        answer("a"),
    ]


def test_a_call_or_result_under_the_wrong_role_is_given_the_right_one() -> None:
    mixed = {"role": "user", "content": [{"text": "go"}, *call("a")["content"], *answer("a")["content"]]}
    assert repair(mixed) == [user("go"), call("a"), answer("a")]


@pytest.mark.parametrize(
    "given, becomes",
    [
        (None, {}),
        ("", {}),
        ('{"epochs": 5}', {"epochs": 5}),
        ("not json", {"value": "not json"}),
        ([1, 2], {"value": "[1, 2]"}),
        ({"when": object}, {"when": "<class 'object'>"}),
        ({1: "one"}, {1: "one"}),
        ({"x": float("nan")}, {"value": '{"x": NaN}'}),
    ],
)
def test_arguments_become_a_json_object(given: Any, becomes: Any) -> None:
    message = {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "train", "input": given}}]}
    assert repair(message, answer("a"))[0]["content"] == [
        {"toolUse": {"toolUseId": "a", "name": "train", "input": becomes}}
    ]


def test_a_result_without_content_or_status_gets_them() -> None:
    bare = {"role": "user", "content": [{"toolResult": {"toolUseId": "a"}}]}
    assert repair(call("a"), bare)[1] == answer("a", content=[{"text": '""'}])
    odd = answer("a", content="plain text", status="FAILED")
    assert repair(call("a"), odd)[1] == answer("a", content=[{"text": "plain text"}], status="error")
    odd = answer("a", content=[{"json": {1}}, {"json": 2}, "x", 3, {"image": {"a": 1}}])
    assert repair(call("a"), odd)[1]["content"][0]["toolResult"]["content"] == [
        {"text": "[1]"},
        {"json": 2},
        {"text": "x"},
        {"text": "3"},
        {"image": {"a": 1}},
    ]


def test_what_cannot_be_read_as_a_call_or_result_is_shown_as_text() -> None:
    message = {"role": "assistant", "content": [{"toolUse": {"input": {}}}, {"toolResult": "done"}]}
    assert said(repair(message)) == [
        '[A call that cannot be read: {"input": {}}]',
        "[A result that cannot be read: done]",
    ]


# Calls and results


def test_a_call_without_a_result_was_interrupted() -> None:
    failed = {"toolResult": {"toolUseId": "a", **INTERRUPTED}}
    assert repair(user(), call("a")) == [user(), call("a"), {"role": "user", "content": [failed]}]
    assert repair(call("a"), user()) == [call("a"), {"role": "user", "content": [failed]}, user()]


def test_one_of_several_calls_was_interrupted() -> None:
    result = repair(call("a", "b"), answer("b"), user())
    failed = {"toolResult": {"toolUseId": "a", **INTERRUPTED}}
    assert result == [call("a", "b"), {"role": "user", "content": [failed, *answer("b")["content"]]}, user()]


def test_a_result_without_its_call_becomes_a_note() -> None:
    (note,) = said(repair(answer("a", content=[{"text": "0.93"}, {"json": {"n": 1}}, {"image": {"x": 1}}])))
    assert note == '[Result of an earlier call, a (success): 0.93\n{"n": 1}\n(image, not shown)]'


def test_a_note_of_a_result_is_bounded() -> None:
    (note,) = said(repair(answer("a" * 1000, content=[{"text": "x" * 100_000}] * 3)))
    assert len(note) <= 8000
    assert note.endswith("characters in all)]")


def test_a_result_is_brought_to_its_call() -> None:
    assert repair(call("a"), user(), assistant(), answer("a")) == [call("a"), answer("a"), user(), assistant()]
    assert repair(call("a", "b"), answer("b"), answer("a")) == [call("a", "b"), answer("a", "b")]
    assert repair(call("a"), call("b"), answer("a"), answer("b")) == [call("a"), answer("a"), call("b"), answer("b")]
    assert repair(call("a"), call("b"), answer("b"), answer("a")) == [call("a"), answer("a"), call("b"), answer("b")]


def test_a_result_before_its_call_is_not_its_result() -> None:
    result = repair(answer("a"), call("a"))
    assert said(result)[0].startswith("[Result of an earlier call, a")
    assert result[2]["content"][0]["toolResult"]["status"] == "error"


def test_results_come_first_in_their_message() -> None:
    mixed = {"role": "user", "content": [{"text": "and"}, *answer("a")["content"], {"text": "more"}]}
    assert repair(call("a"), mixed)[1] == {
        "role": "user",
        "content": [*answer("a")["content"], {"text": "and"}, {"text": "more"}],
    }


def test_the_second_result_of_a_call_becomes_a_note() -> None:
    result = repair(call("a"), answer("a"), answer("a", content=[{"text": "again"}]))
    assert result[:2] == [call("a"), answer("a")]
    assert said(result[2:]) == ["[Result of an earlier call, a (success): again]"]


def test_ids_that_are_used_twice_become_different_ones() -> None:
    second = answer("a", content=[{"text": "second"}])
    result = repair(call("a"), answer("a"), user(), call("a"), second, call("a-2"), answer("a-2"))
    assert result == [
        call("a"),
        answer("a"),
        user(),
        call("a-3"),
        answer("a-3", content=[{"text": "second"}]),
        call("a-2"),
        answer("a-2"),
    ]


def test_calls_of_one_message_with_one_id_are_told_apart_by_order() -> None:
    results = [answer("a", content=[{"text": text}])["content"][0] for text in ("first", "second")]
    result = repair(call("a", "a"), {"role": "user", "content": results})
    assert [block["toolResult"]["toolUseId"] for block in result[1]["content"]] == ["a", "a-2"]
    assert [block["toolResult"]["content"][0]["text"] for block in result[1]["content"]] == ["first", "second"]


def test_the_result_belongs_to_the_later_of_two_calls() -> None:
    result = repair(call("a"), user(), call("a"), answer("a"))
    assert result[1]["content"][0]["toolResult"]["status"] == "error"
    assert result[3:] == [call("a-2"), answer("a-2")]


def test_calls_without_ids_get_some() -> None:
    result = repair(call(""), call(""), {"role": "assistant", "content": [{"toolUse": {"name": "n", "toolUseId": 7}}]})
    ids = [block["toolUse"]["toolUseId"] for message in result for block in message["content"] if "toolUse" in block]
    assert ids == ["call-2", "call-3", "7"]


def test_a_thousand_calls_of_one_id_are_told_apart() -> None:
    result = repair(*[message for _ in range(1000) for message in (call("a"), answer("a"))])
    assert validate_messages(result) == []
    assert len(result) == 2000


# Open calls


def test_an_open_call_is_a_call_without_a_result() -> None:
    running = {"c1": use("c1", epochs=5), "c2": use("c2", "search")}
    result = history_for_model([user()], running, "call")  # type: ignore[list-item]
    assert result == [
        user(),
        {"role": "assistant", "content": [{"toolUse": running["c1"]}, {"toolUse": running["c2"]}]},
    ]
    assert validate_messages(result, open_ok=running) == []


def test_an_open_call_is_told_in_words() -> None:
    (message,) = history_for_model([], {"c1": use("c1", dataset="sales")}, "note")
    assert message["role"] == "user"
    assert said([message]) == [
        '[Still running: call c1 of train({"dataset": "sales"}). Its result follows as a message when there is one. '
        "Do not make this call again.]"
    ]


def test_several_open_calls_are_told_in_one_note() -> None:
    (text,) = said(history_for_model([], {"c1": use("c1"), "c2": use("c2", "search")}, "note"))
    assert "call c1 of train(); call c2 of search()" in text
    assert "Do not make these calls again" in text


def test_a_note_is_bounded_however_much_runs() -> None:
    running = {f"{number}-{'i' * 500}": use("", "n" * 500, text="x" * 100_000) for number in range(1000)}
    (text,) = said(history_for_model([], running, "note"))
    assert "and 980 more" in text
    assert len(text) < 12_000


@pytest.mark.parametrize("form", FORMS)
def test_an_open_call_that_the_history_has_is_not_told_twice(form: Any) -> None:
    history: Any = [user(), {"role": "assistant", "content": [{"text": "I train"}, {"toolUse": use(epochs=5)}]}, user()]
    result = history_for_model(history, {"c1": use(epochs=5)}, form)
    assert str(result).count("c1") == 1
    assert result[:3] == [user(), assistant("I train"), user()]
    assert "c1" in str(result[3])


@pytest.mark.parametrize("form", FORMS)
def test_another_call_with_the_id_of_an_open_one_stays(form: Any) -> None:
    history: Any = [{"role": "assistant", "content": [{"toolUse": use(name="search")}]}]
    result = history_for_model(history, {"c1": use()}, form)
    assert result[1]["content"][0]["toolResult"]["status"] == "error"
    assert len(result) == 3
    assert validate_messages(result, open_ok=["c1"]) == []


def test_an_open_call_keeps_its_id_and_an_older_one_gets_another() -> None:
    done: Any = [call("c1"), answer("c1")]
    result = history_for_model(done, {"c1": use(epochs=5)}, "call")
    assert result[:2] == [call("c1-2"), answer("c1-2")]
    assert result[2]["content"] == [{"toolUse": use(epochs=5)}]
    assert history_for_model(done, {"c1": use(epochs=5)}, "note")[:2] == done


def test_nothing_that_was_given_changes() -> None:
    history: Any = [call("a"), user(), {"role": "MODEL", "content": "x"}, answer("a"), call("a")]
    running = {"a": use("a", x=1)}
    before = copy.deepcopy((history, running))
    for form in FORMS:
        history_for_model(history, running, form)  # type: ignore[arg-type]
    assert (history, running) == before


# Late results, and tasks in one line


def test_a_late_result_names_call_arguments_and_status() -> None:
    result: ToolResult = {"toolUseId": "c1", "status": "success", "content": [{"text": "0.93"}, {"json": {"n": 1}}]}
    assert late_result_text(use(dataset="sales"), result) == (
        'The call c1 of train({"dataset": "sales"}), made earlier, has ended with the status success. '
        'Do not make it again. Result:\n0.93\n{"n": 1}'
    )
    failed: Any = {"toolUseId": "c1", "status": "error", "content": [{"text": "no such file"}]}
    assert "status error. Do not make it again. Error:\nno such file" in late_result_text(use(), failed)


@given(st.text(max_size=300), st.integers(0, 20_000), st.integers(0, 50))
def test_a_late_result_is_bounded(name: str, length: int, pieces: int) -> None:
    result: Any = {"toolUseId": "c", "status": "success", "content": [{"text": "x" * length}] * pieces}
    text = late_result_text({"toolUseId": name * 9, "name": name * 9, "input": {"a": name * 99}}, result)
    assert len(text) <= 8000


@pytest.mark.parametrize("content", [None, [], "done", ["done"], [{"image": {"bytes": b"x" * 10_000}}]])
def test_a_late_result_of_another_form_is_told(content: Any) -> None:
    odd: Any = {"status": "success", "content": content}
    text = late_result_text(use(), odd)
    assert text.rpartition("\n")[2] in ('""', "done", "(image, not shown)")


def finished(**fields: Any) -> TaskFinished:
    plain: dict[str, Any] = {
        "task_id": "t3",
        "number": 3,
        "tool_name": "train",
        "arguments": {"dataset": "sales", "epochs": 5},
        "status": "done",
        "text": "The error fell to 4 %.",
        "elapsed_s": 12.04,
    }
    return TaskFinished(**{**plain, **fields})


def test_a_task_in_one_line() -> None:
    assert task_line(finished()) == (
        "Background task 3, train(dataset=sales, epochs=5), is done after 12.0 s: The error fell to 4 %."
    )
    assert "has failed after 12.0 s: boom" in task_line(finished(status="failed", text="boom"))
    assert "was cancelled after" in task_line(finished(status="cancelled"))
    assert "ran out of time after" in task_line(finished(status="timed_out"))
    assert task_line(finished(text=" ", arguments={})) == "Background task 3, train(), is done after 12.0 s."


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.none()), st.integers(1, 200))
def test_a_task_takes_one_short_line(text: str, arguments: Any, limit: int) -> None:
    line = task_line(finished(text=text * 100, arguments=arguments), limit)
    assert len(line.splitlines()) == 1
    assert len(line) <= 300 + limit


@given(st.text(), st.integers(0, 200))
def test_a_shrunk_text_is_one_line_within_its_limit(text: str, limit: int) -> None:
    line = shrunk(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert shrunk(line, limit) == line


def test_a_text_is_shrunk_between_words() -> None:
    assert shrunk("one\n two\tthree", 20) == "one two three"
    assert shrunk("one two three", 11) == "one two..."
    assert shrunk("one two three", 10) == "one two..."
    assert shrunk("x" * 500, 10) == "xxxxxxx..."
    assert shrunk("   " * 10_000 + "late", 10) in ("", "...", "late")
    assert json.dumps(shrunk("a" * 10_000_000, 120))


def test_a_prompt_that_shrinks_can_be_copied_and_pickled():
    text = PassingText("all of it", "a line")
    for copied in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert (copied, copied.remains) == ("all of it", "a line")


@pytest.mark.parametrize("error", [None, ValueError("no\nsuch thing")])
def test_a_told_result_is_one_bounded_line(error: Exception | None):
    result = AsyncTaskResult("ab12cd34", "x" * 300, {"rows": list(range(10_000))}, "much\ntext " * 1000, error, 2.0)
    line = result_line(result)
    assert line.startswith("[Background task ab12cd34, xxx")
    assert ("ValueError: no such thing" in line) == (error is not None)
    assert "\n" not in line
    assert len(line) < 500
