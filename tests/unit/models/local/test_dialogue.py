"""What is done about what was said."""

from __future__ import annotations

from typing import Literal

import pytest

from backchannel.events import (
    AnnouncementEvent,
    ApprovalQuestionEvent,
    ProgressEvent,
    TaskFinished,
    TaskProgressed,
    TaskStarted,
    ToolResultEvent,
)
from backchannel.messages import BACKGROUND_NOTICE, ToolUse
from backchannel.models.local.dialogue import Call, Dialogue, Move, Say
from backchannel.models.local.grammar import Grammar
from backchannel.models.local.parts import Recognition

from .tools import ALL, NOTE, RESEARCH, TASKS, spec

SOLAR = Call("research", {"topic": "solar power"})


@pytest.fixture
def dialogue() -> Dialogue:
    return Dialogue(Grammar(ALL))


def sure(text: str, *alternatives: str) -> Recognition:
    return Recognition(text, 1.0, True, alternatives)


def unsure(text: str, confidence: float = 0.5) -> Recognition:
    return Recognition(text, confidence, False)


def said(moves: list[Move]) -> str:
    (move,) = moves
    assert isinstance(move, Say)
    return move.text


def test_a_command_that_is_sure_is_called(dialogue: Dialogue):
    assert dialogue.hear(sure("research solar power")) == [SOLAR]


def test_a_command_that_is_not_sure_is_confirmed(dialogue: Dialogue):
    assert said(dialogue.hear(unsure("research solar power"))) == "Did you say research solar power?"
    assert dialogue.hear(sure("yes")) == [SOLAR]


def test_a_confirmation_can_be_typed(dialogue: Dialogue):
    dialogue.hear(unsure("research solar power"))
    assert dialogue.read("Yes!") == [SOLAR]


def test_no_means_that_nothing_is_called(dialogue: Dialogue):
    dialogue.hear(unsure("research solar power"))
    assert said(dialogue.hear(sure("no"))) == "Okay. Please say it again, or type it."
    assert said(dialogue.hear(sure("yes"))) == "Okay."


def test_another_command_takes_the_place_of_an_open_question(dialogue: Dialogue):
    dialogue.hear(unsure("research solar power"))
    assert dialogue.hear(sure("research wind energy")) == [Call("research", {"topic": "wind energy"})]
    assert said(dialogue.hear(sure("yes"))) == "Okay."


def test_readings_that_mean_different_things_are_confirmed(dialogue: Dialogue):
    assert said(dialogue.hear(sure("cancel task one", "cancel task two"))) == "Did you say cancel task one?"


def test_readings_that_mean_the_same_are_not(dialogue: Dialogue):
    assert dialogue.hear(sure("research solar power", "research the solar power")) == [SOLAR]


@pytest.mark.parametrize(
    "recognition", [unsure("research solar power", 0.1), unsure("yes"), unsure("", 0.0), sure("blah")]
)
def test_what_was_not_caught_is_asked_again_with_an_example(dialogue: Dialogue, recognition: Recognition):
    assert said(dialogue.hear(recognition)) == "Sorry, I did not catch that. You can say research solar power."


def test_the_second_time_the_example_is_left_out(dialogue: Dialogue):
    dialogue.hear(unsure(""))
    assert said(dialogue.hear(unsure(""))) == "Sorry, I did not catch that. Please say it again, or type it."
    dialogue.hear(sure("help"))
    assert "You can say" in said(dialogue.hear(unsure("")))


def test_a_missing_value_is_asked_for_and_the_value_alone_answers(dialogue: Dialogue):
    assert said(dialogue.hear(sure("research"))).startswith("What topic for research?")
    assert dialogue.hear(sure("solar power")) == [SOLAR]


def test_a_value_without_a_question_is_confirmed(dialogue: Dialogue):
    assert said(dialogue.hear(sure("solar power"))) == "Do you want research solar power?"
    assert dialogue.hear(sure("yes")) == [SOLAR]


def test_free_text_is_asked_to_be_typed_and_taken_as_it_was_written(dialogue: Dialogue):
    assert "please type it" in said(dialogue.hear(sure("write note")))
    assert dialogue.read("Buy milk, eggs.") == [Call("write_note", {"text": "Buy milk, eggs."})]


def test_an_answer_that_does_not_fit_is_refused_and_the_question_stays(dialogue: Dialogue):
    dialogue.hear(sure("research"))
    assert said(dialogue.read("fusion reactors")).startswith("I do not know fusion reactors for research.")
    assert dialogue.read("gpt-4") == [Call("research", {"topic": "GPT-4"})]


def test_a_value_that_a_tool_does_not_take_is_named(dialogue: Dialogue):
    assert said(dialogue.read("Research fusion reactors")).startswith("I do not know fusion reactors for research.")


def test_a_number_out_of_bounds_is_refused_in_words(dialogue: Dialogue):
    assert said(dialogue.read("train model sales with 500 epochs")) == "Train model: epochs must be at most 100."


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("how far is it", {"action": "list"}),
        ("how is task two doing", {"action": "look", "task": "2"}),
        ("cancel task one", {"action": "cancel", "task": "1"}),
        ("cancel it", {"action": "cancel"}),
        ("stop research", {"action": "cancel", "task": "research"}),
        ("cancel everything", {"action": "cancel", "task": "all"}),
    ],
)
def test_tasks_are_asked_through_their_tool(dialogue: Dialogue, text: str, arguments: dict[str, str]):
    assert dialogue.hear(sure(text)) == [Call("background_tasks", arguments)]


def test_without_that_tool_no_tasks_are_known():
    assert said(Dialogue(Grammar([RESEARCH])).hear(sure("how far is it"))) == "I know of no tasks."


def test_what_was_said_last_is_said_again(dialogue: Dialogue):
    assert said(dialogue.hear(sure("say that again"))) == "I have not said anything yet."
    answer = said(dialogue.hear(sure("hello")))
    assert said(dialogue.hear(sure("say that again"))) == answer


def test_stop_is_answered_with_silence(dialogue: Dialogue):
    assert dialogue.hear(sure("stop")) == []


def test_an_open_question_about_a_tool_that_is_gone_is_forgotten(dialogue: Dialogue):
    dialogue.hear(unsure("research solar power"))
    dialogue.update(Grammar([NOTE, TASKS]))
    assert said(dialogue.hear(sure("yes"))) == "Okay."


def test_results_starts_and_endings_are_told(dialogue: Dialogue):
    result = ToolResultEvent({"toolUseId": "1", "status": "success", "content": [{"text": "42 rows"}]})
    assert said(dialogue.result(result)) == "42 rows."
    result.task = TaskStarted("ab12cd34", 1, "research", {"topic": "solar power"})
    assert said(dialogue.result(result)) == "Started research solar power, task one."
    done = TaskFinished("ab12cd34", 1, "research", {"topic": "solar power"}, "done", "It works.", 3.0)
    announcement = AnnouncementEvent("the text", (done,))
    assert said(dialogue.announce(announcement)) == "By the way, research solar power is done. It works."
    assert said(dialogue.announce(AnnouncementEvent("only text", ()))) == "only text."


def test_how_far_a_task_is_is_said_only_where_that_is_asked_for(dialogue: Dialogue):
    notes = (
        TaskProgressed("ab12cd34", "Task 1, research: 25 percent."),
        TaskProgressed("ab12cd35", "Task 2: 3 so far."),
    )
    assert dialogue.progress(ProgressEvent("for a text model", notes, aloud=False)) == []
    spoken = said(dialogue.progress(ProgressEvent("for a text model", notes, aloud=True)))
    assert spoken == "Task 1, research: 25 percent. Task 2: 3 so far."
    assert said(dialogue.hear(sure("say that again"))) == spoken


def test_the_acknowledgement_of_a_background_tool_is_expected(dialogue: Dialogue):
    research = Call("research", {"topic": "solar power"})
    assert dialogue.expected(research) == ""
    dialogue.update(Grammar([{**RESEARCH, "description": f"Research. {BACKGROUND_NOTICE}"}]))
    assert dialogue.expected(research) == "Started research solar power, task one."
    result = ToolResultEvent({"toolUseId": "1", "status": "success", "content": [{"text": "ok"}]})
    result.task = TaskStarted("ab12cd34", 4, "research", {"topic": "solar power"})
    dialogue.result(result)
    assert dialogue.expected(research) == "Started research solar power, task five."


def question(approval_id: str = "a1", text: str = "Delete a.txt?") -> ApprovalQuestionEvent:
    use: ToolUse = {"toolUseId": f"call-{approval_id}", "name": "delete", "input": {"path": "a.txt"}}
    return ApprovalQuestionEvent(f"Ask: {text}", approval_id, text, use)


def answer(approved: bool, approval_id: str = "a1") -> Call:
    return Call("answer_approval", {"approval_id": approval_id, "approved": approved}, f"answer_approval-{approval_id}")


def returned(call_id: str, text: str = "", status: Literal["success", "error"] = "success") -> ToolResultEvent:
    return ToolResultEvent({"toolUseId": call_id, "status": status, "content": [{"text": text}]})


def asked(dialogue: Dialogue, event: ApprovalQuestionEvent) -> Dialogue:
    """Have the question asked and said."""
    assert dialogue.approve(event) == [Say(f"I need your approval. {event.question}", event.approval_id)]
    dialogue.asked(event.approval_id)
    return dialogue


@pytest.mark.parametrize(
    ("words", "approved"),
    [
        ("yes", True), ("yes please", True), ("go ahead", True), ("okay", True),
        ("no", False), ("don't", False), ("don't do it", False), ("do not do it", False), ("never mind", False),
        ("cancel it", False), ("no thanks", False),
    ],
)  # fmt: skip
def test_an_approval_is_answered_in_words(dialogue: Dialogue, words: str, approved: bool):
    assert asked(dialogue, question()).hear(sure(words)) == [answer(approved)]
    assert said(dialogue.hear(sure("yes"))) == "Okay."


def test_an_approval_is_answered_by_typing(dialogue: Dialogue):
    assert asked(dialogue, question()).read("Yes!") == [answer(True)]


@pytest.mark.parametrize("words", [unsure("yes"), unsure("yes", 0.9), sure("yes", "no"), sure("maybe"), unsure("")])
def test_what_is_not_sure_approves_nothing(dialogue: Dialogue, words: Recognition):
    moves = asked(dialogue, question()).hear(words)
    assert all(isinstance(move, Say) for move in moves)


def test_a_yes_before_the_question_was_said_approves_nothing(dialogue: Dialogue):
    dialogue.approve(question())
    assert dialogue.hear(sure("yes")) == []
    dialogue.asked("a1")
    assert dialogue.hear(sure("yes")) == [answer(True)]


def test_a_question_that_was_cut_off_is_asked_again_before_a_yes_counts(dialogue: Dialogue):
    asked(dialogue, question()).asked("a1", heard=False)
    assert dialogue.hear(sure("yes")) == [Say("I need your approval. Delete a.txt?", "a1")]
    dialogue.asked("a1")
    assert dialogue.hear(sure("yes")) == [answer(True)]


def test_another_command_runs_and_the_approval_is_asked_again(dialogue: Dialogue):
    moves = asked(dialogue, question()).hear(sure("research solar power"))
    assert moves == [SOLAR, Say("I need your approval. Delete a.txt?", "a1")]
    dialogue.asked("a1")
    assert dialogue.hear(sure("no")) == [answer(False)]


def test_an_open_question_is_settled_before_an_approval_is_asked(dialogue: Dialogue):
    dialogue.hear(unsure("research solar power"))
    assert dialogue.approve(question()) == []
    assert dialogue.hear(sure("yes")) == [SOLAR, Say("I need your approval. Delete a.txt?", "a1")]


def test_several_approvals_are_asked_one_after_another(dialogue: Dialogue):
    asked(dialogue, question())
    assert dialogue.approve(question("a2", "Delete b.txt?")) == []
    assert dialogue.hear(sure("yes")) == [answer(True), Say("I need your approval. Delete b.txt?", "a2")]
    dialogue.asked("a2")
    assert dialogue.result(returned("answer_approval-a1", "The call runs now.")) == []
    assert dialogue.hear(sure("no")) == [answer(False, "a2")]


def test_a_call_that_was_answered_elsewhere_is_not_asked_about_any_more(dialogue: Dialogue):
    asked(dialogue, question()).approve(question("a2", "Delete b.txt?"))
    moves = dialogue.result(returned("call-a1", "It is gone"))
    assert moves == [Say("It is gone."), Say("I need your approval. Delete b.txt?", "a2")]


def test_a_refused_call_is_told_in_few_words(dialogue: Dialogue):
    asked(dialogue, question()).hear(sure("no"))
    assert dialogue.result(returned("answer_approval-a1")) == []
    refusal = returned("call-a1", f"{ApprovalQuestionEvent.REFUSED} of delete: no.", "error")
    assert said(dialogue.result(refusal)) == "Okay, I will not do it."


def test_an_answer_that_is_not_taken_is_asked_for_again(dialogue: Dialogue):
    asked(dialogue, question()).hear(sure("yes"))
    moves = dialogue.result(returned("answer_approval-a1", "The question was not heard.", "error"))
    assert moves == [Say("I could not take that as your answer."), Say("I need your approval. Delete a.txt?", "a1")]
    dialogue.asked("a1")
    (again,) = dialogue.hear(sure("yes"))
    assert isinstance(again, Call)
    assert again.input == {"approval_id": "a1", "approved": True}
    assert again.call_id != "answer_approval-a1"


def test_an_answer_that_came_too_late_is_not_asked_for_again(dialogue: Dialogue):
    asked(dialogue, question()).hear(sure("yes"))
    dialogue.result(returned("call-a1", "a.txt is gone"))
    assert dialogue.result(returned("answer_approval-a1", "It was answered already.", "error")) == []


def test_a_question_that_is_too_long_to_be_said_points_to_the_page(dialogue: Dialogue):
    event = ApprovalQuestionEvent("Ask.", "a1", "Run delete(…)?", question().tool_use, whole=False)
    assert said(dialogue.approve(event)) == (
        "I need your approval to run delete. It is too long to be said: please look at the page, and answer there."
    )


def test_silence_and_repetition_leave_an_approval_open(dialogue: Dialogue):
    asked(dialogue, question())
    assert dialogue.hear(sure("be quiet")) == []
    assert said(dialogue.hear(sure("say that again"))) == "I need your approval. Delete a.txt?"
    assert dialogue.hear(sure("yes")) == [answer(True)]


def test_new_tools_leave_an_approval_open(dialogue: Dialogue):
    asked(dialogue, question()).update(Grammar([NOTE]))
    assert dialogue.hear(sure("yes")) == [answer(True)]


def test_the_tool_that_answers_approvals_is_not_offered():
    grammar = Grammar([RESEARCH, spec("answer_approval", approval_id={"type": "string"}, approved={"type": "boolean"})])
    assert [tool.name for tool in grammar.tools] == ["research"]
    assert "approval" not in grammar.vocabulary


def test_the_plain_question_is_said_without_its_signs(dialogue: Dialogue):
    event = question(text='Run delete(path="a.txt")?')
    (move,) = dialogue.approve(event)
    assert move == Say("I need your approval. Run delete, path a.txt?", "a1")
