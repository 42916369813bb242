from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from backchannel.events import ApprovalAnswerEvent, ApprovalRequestEvent
from backchannel.messages import ToolUse
from backchannel.notebook.captions import Captions
from backchannel.notebook.questions import MAX_CHARS, Questions
from backchannel.notebook.voice_snapshot import apply, new_snapshot


def request(name: str, text: str = "Delete?", whole: bool = True, **arguments: object) -> ApprovalRequestEvent:
    use: ToolUse = {"toolUseId": "c1", "name": "delete", "input": arguments}
    return ApprovalRequestEvent(name, text, use, whole)


def test_a_long_question_is_bounded() -> None:
    (op,) = Questions(Captions()).asked(request("q", "é" * 100_000))
    assert len(op["text"]) == MAX_CHARS
    assert op["text"].endswith("…")


def test_all_arguments_are_shown_below_a_question() -> None:
    command = "echo " + "a" * 5000 + "\n; rm -rf /data"
    (op,) = Questions(Captions()).asked(request("q", whole=False, command=command, force=True, path=None, at=[1, 2]))
    assert op["arguments"] == [["command", command], ["force", "True"], ["path", "none"], ["at", "[1, 2]"]]
    assert op["whole"] is False


def test_what_is_not_seen_in_an_argument_is_escaped() -> None:
    (op,) = Questions(Captions()).asked(request("q", command="a\tb\nc\u202ed\x00"))
    assert op["arguments"] == [["command", "a\tb\nc\\u202ed\\u0000"]]


def test_very_many_and_very_long_arguments_are_bounded() -> None:
    given = {f"name{n}" * 100: "x" * 10_000 for n in range(1000)}
    (op,) = Questions(Captions()).asked(request("q", **given))
    assert sum(len(name) + len(value) for name, value in op["arguments"]) < 60_000
    assert op["arguments"][-1] == ["...", "900 more"]


def test_an_answer_to_no_question_is_nothing() -> None:
    questions = Questions(Captions())
    assert questions.answered(ApprovalAnswerEvent("q", True, "voice")) == []
    assert questions.ended() == []


@given(st.lists(st.tuples(st.sampled_from(["asked", "yes", "no", "ended"]), st.sampled_from("abc")), max_size=30))
def test_the_pages_show_exactly_what_waits_and_each_outcome_once(steps: list[tuple[str, str]]) -> None:
    questions, shown = Questions(Captions()), new_snapshot({})
    waiting: dict[str, None] = {}
    outcomes = 0
    for kind, name in steps:
        if kind == "asked" and name not in waiting:
            ops = questions.asked(request(name))
            waiting[name] = None
        elif kind in ("yes", "no"):
            ops = questions.answered(ApprovalAnswerEvent(name, kind == "yes", "widget"))
            outcomes += name in waiting
            waiting.pop(name, None)
        elif kind == "ended":
            ops = questions.ended()
            outcomes += len(waiting)
            waiting.clear()
        else:
            continue
        for op in ops:
            shown = apply(shown, op)
        assert [item["id"] for item in shown["questions"]] == list(waiting)
        assert len(shown["captions"]) == outcomes
