"""The dialogue: what to do about what was said, and what is asked back. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from ...events import AnnouncementEvent, ApprovalQuestionEvent, ProgressEvent, TaskStarted, ToolResultEvent
from . import phrase
from .grammar import ANSWER_TOOL, TASK_TOOL, Grammar
from .parts import Recognition
from .understand import Intent, fill, understand
from .words import join

__all__ = ["Call", "Dialogue", "Move", "Say"]

_WORTH_ASKING = 0.45
_ASKABLE = ("call", "status", "cancel", "help", "repeat")
_ANSWERS = {
    "thanks": "You are welcome.",
    "greeting": "Hello. What can I do for you?",
    "bye": "Goodbye.",
    "yes": "Okay.",
    "no": "Okay.",
}


@dataclass(frozen=True, slots=True)
class Say:
    """Answer with this; it asks the user for ``approval``, an id, where that is set."""

    text: str
    approval: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Run this tool; ``call_id`` is "" where any will do."""

    tool: str
    input: dict[str, Any] = field(hash=False)
    call_id: str = ""


Move: TypeAlias = Say | Call


@dataclass(slots=True)
class _Confirmation:
    intent: Intent


@dataclass(slots=True)
class _Question:
    """A parameter of a call was asked for."""

    intent: Intent
    slot: str


@dataclass(slots=True)
class _Approval:
    """A call waits for a yes or a no, which counts once the question was said, and not cut off."""

    event: ApprovalQuestionEvent
    state: Literal["new", "queued", "said"] = "new"
    asked: int = 0


class Dialogue:
    """Turns utterances, typed text and results into answers and calls; holds one open question at most.

    Approvals wait until no other question is open, and are asked again after anything that is no answer. Where all is
    ``written``, nobody is asked to say something, or to type it instead.
    """

    def __init__(self, grammar: Grammar, *, written: bool = False) -> None:
        self.grammar = grammar
        self._again = "Please write it another way." if written else "Please say it again, or type it."
        self._written = written
        self.last_said = ""
        self._open: _Confirmation | _Question | _Approval | None = None
        self._approvals: list[_Approval] = []
        self._answered: dict[str, _Approval] = {}
        self._misses = 0
        self._last_task = 0

    def update(self, grammar: Grammar) -> None:
        """Use other tools from now on; an open question about a tool that is gone is forgotten."""
        self.grammar = grammar
        question = self._open
        if isinstance(question, _Confirmation | _Question) and question.intent.tool:
            self._open = question if grammar.tool(question.intent.tool) is not None else None

    def hear(self, recognition: Recognition) -> list[Move]:
        """Answer an utterance."""
        intent = understand(recognition.text, self.grammar)
        rivals = [understand(text, self.grammar) for text in recognition.alternatives]
        rival = next((other for other in rivals if other.kind != "unknown" and other != intent), None)
        if intent.kind == "unknown":
            return self._noted(self._missed())
        if recognition.accepted and rival is None:
            return self._noted(self._with_approval(self._act(intent), intent.kind))
        if intent.kind in _ASKABLE and (recognition.accepted or recognition.confidence >= _WORTH_ASKING):
            self._open = _Confirmation(intent)
            return self._noted([Say(f"Did you say {recognition.text}?")])
        return self._noted(self._missed())

    def read(self, text: str) -> list[Move]:
        """Answer typed text."""
        intent = understand(text, self.grammar, typed=True)
        if intent.kind == "unknown" and isinstance(self._open, _Question):
            return self._noted(self._with_approval(self._fill(self._open, text)))
        return self._noted(self._with_approval(self._act(intent), intent.kind))

    def result(self, event: ToolResultEvent) -> list[Move]:
        """Answer with what a tool returned, or that its task has started."""
        call_id, status = event.tool_result["toolUseId"], event.tool_result["status"]
        for question in [item for item in self._approvals if item.event.tool_use["toolUseId"] == call_id]:
            self._approvals.remove(question)  # It was answered elsewhere.
            self._open = None if self._open is question else self._open
        ended = [name for name, item in self._answered.items() if item.event.tool_use["toolUseId"] == call_id]
        for name in ended:
            del self._answered[name]
        answered = self._answered.pop(call_id, None)
        if status == "error" and phrase.plain_text(event.tool_result).startswith(ApprovalQuestionEvent.REFUSED):
            said = [Say("Okay, I will not do it.")]
        elif event.task is not None:
            self._last_task = event.task.number
            said = [Say(phrase.acknowledgement(event.task))]
        elif call_id.startswith(ANSWER_TOOL):
            said = []
            if status == "error" and answered is not None:
                # The agent did not take it for an answer, as where the question had not been heard.
                answered.state = "new"
                self._approvals.insert(0, answered)
                said = [Say("I could not take that as your answer.")]
        else:
            said = [Say(phrase.result_text(event.tool_result))]
        return self._noted(self._with_approval([*said]))

    def expected(self, call: Call) -> str:
        """Return what will most likely be said about a call, if that can be known before its result is there; or ""."""
        if call.tool not in self.grammar.background:
            return ""
        return phrase.acknowledgement(TaskStarted("", self._last_task + 1, call.tool, call.input))

    def announce(self, event: AnnouncementEvent) -> list[Move]:
        """Tell the results of background tasks."""
        return self._noted([Say(phrase.announcement(event.tasks) or phrase.speakable(event.text))])

    def progress(self, event: ProgressEvent) -> list[Move]:
        """Say how far background tasks are, where that is asked for; what is not said can be asked at any time."""
        if not event.aloud:
            return []
        return self._noted([Say(phrase.speakable(" ".join(note.text for note in event.notes) or event.text))])

    def approve(self, event: ApprovalQuestionEvent) -> list[Move]:
        """Ask whether a call may run, as soon as no other question is open."""
        self._approvals.append(_Approval(event))
        return self._noted(self._with_approval([]))

    def asked(self, approval_id: str, *, heard: bool = True) -> None:
        """The question for this approval is being said; not ``heard`` if it was cut off."""
        for question in self._approvals:
            if question.event.approval_id == approval_id:
                question.state = "said" if heard else "new"

    def _with_approval(self, moves: list[Move], kind: str = "") -> list[Move]:
        """Go on with the first approval if no other question is open; ``kind`` is what the user said."""
        if self._open is not None or not self._approvals:
            return moves
        question = self._open = self._approvals[0]
        if question.state == "queued" or (question.state == "said" and kind in ("", "quiet", "repeat")):
            return moves
        question.state = "queued"
        text = phrase.approval(question.event.question, question.event.tool_use, whole=question.event.whole)
        return [*moves, Say(text, question.event.approval_id)]

    def _answer(self, question: _Approval, approved: bool) -> list[Move]:
        if question.state != "said":
            return []
        self._approvals.remove(question)
        approval_id = question.event.approval_id
        call_id = f"{ANSWER_TOOL}-{approval_id}" + (f"-{question.asked}" if question.asked else "")
        question.asked += 1
        self._answered[call_id] = question
        return [Call(ANSWER_TOOL, {"approval_id": approval_id, "approved": approved}, call_id)]

    def _noted(self, moves: list[Move]) -> list[Move]:
        for move in moves:
            if isinstance(move, Say):
                self.last_said = move.text
        return moves

    def _act(self, intent: Intent) -> list[Move]:
        question, self._open = self._open, None
        if intent.kind != "unknown":
            self._misses = 0
        match intent.kind:
            case "yes" if isinstance(question, _Confirmation):
                return self._act(question.intent)
            case "yes" | "no" if isinstance(question, _Approval):
                return self._answer(question, intent.kind == "yes")
            case "cancel" if isinstance(question, _Approval) and intent.task is None:
                return self._answer(question, False)
            case "no" if question is not None:
                return [Say(f"Okay. {self._again}")]
            case "call":
                return self._call(intent)
            case "value":
                return self._value(intent, question)
            case "status" | "cancel":
                return self._about_tasks(intent)
            case "help":
                return [Say(phrase.help_text(self.grammar))]
            case "repeat":
                return [Say(self.last_said or "I have not said anything yet.")]
            case "quiet":
                return []
            case "unknown":
                tool = self.grammar.tool(intent.tool)
                return [Say(phrase.unknown_value(tool, intent.rest))] if tool else self._missed()
            case kind:
                return [Say(_ANSWERS[kind])]

    def _call(self, intent: Intent) -> list[Move]:
        tool = self.grammar.tool(intent.tool)
        if tool is None:
            return self._missed()
        if intent.faults:
            return [Say(f"{tool.said[0].upper()}{tool.said[1:]}: {join(list(intent.faults))}.")]
        if intent.missing:
            self._open = _Question(intent, intent.missing[0])
            return [Say(phrase.ask_for(tool, tool.slot(intent.missing[0]), written=self._written))]
        return [Call(intent.tool, intent.input)]

    def _value(self, intent: Intent, question: _Confirmation | _Question | _Approval | None) -> list[Move]:
        """A value alone: the answer to a question, or a call of which only the end was heard."""
        if isinstance(question, _Question):
            tool = self.grammar.tool(question.intent.tool)
            values = list(intent.input.values())
            slot = tool.slot(question.slot) if tool else None
            if slot is not None and any(value == values[0] for _, value in slot.values):
                return self._call(_with(question.intent, question.slot, values[0]))
        tool = self.grammar.tool(intent.tool)
        if tool is None or intent.missing:
            return self._missed()
        self._open = _Confirmation(replace(intent, kind="call"))
        return [Say(f"Do you want {phrase.label(tool.said, intent.input)}?")]

    def _fill(self, question: _Question, text: str) -> list[Move]:
        tool = self.grammar.tool(question.intent.tool)
        slot = tool.slot(question.slot) if tool else None
        if tool is None or slot is None:
            return self._missed()
        fits, value = fill(slot, text)
        if not fits:
            return [Say(phrase.unknown_value(tool, text))]
        self._open = None
        return self._call(_with(question.intent, question.slot, value))

    def _about_tasks(self, intent: Intent) -> list[Move]:
        if not self.grammar.knows_tasks:
            return [Say("I know of no tasks.")]
        action = "cancel" if intent.kind == "cancel" else "look" if intent.task else "list"
        return [Call(TASK_TOOL, {"action": action} | ({"task": intent.task} if intent.task else {}))]

    def _missed(self) -> list[Move]:
        self._misses += 1
        caught = "understand" if self._written else "catch that"
        if self._misses > 1 or not self.grammar.tools:
            return [Say(f"Sorry, I did not {caught}. {self._again}")]
        return [Say(f"Sorry, I did not {caught}. You can say {phrase.example(self.grammar.tools[0])}.")]


def _with(intent: Intent, name: str, value: Any) -> Intent:
    return replace(
        intent, input=intent.input | {name: value}, missing=tuple(item for item in intent.missing if item != name)
    )
