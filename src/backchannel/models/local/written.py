"""The embedded model in writing: the same commands and sentences, typed and read, with no sound."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from uuid import uuid4

from ...events import AnnouncementEvent, TaskFinished, TaskStarted, ToolResultEvent
from ...messages import ContentBlock, Message, Messages, ToolResult, ToolSpec, ToolUse, is_text
from ...tools.threads import run_in_thread
from ..task_notes import Told, started, told
from ..text import StreamEvent, message_events
from .dialogue import Call, Dialogue, Move, Say
from .grammar import Grammar
from .parts import LanguageModel

__all__ = ["LocalTextModel"]

_REPLAYED = 20
"""The most messages that are gone through again for what is open: a question is answered next, or asked again."""
_LONG = 2000
"""Characters of a message from which on it is read in a thread."""


class LocalTextModel:
    """A `TextModel` that understands the commands which the tools allow, in this process; needs no package and no key.

    It keeps nothing: what was asked and what is open is in the history, so one model serves any number of agents. Its
    sentences are those of `LocalModel`.

    Args:
        llm: A language model that understands everything in place of the built-in commands.
    """

    def __init__(self, llm: LanguageModel | None = None) -> None:
        self._llm = llm
        self._known: tuple[list[ToolSpec], Grammar] = [], Grammar()

    async def stream(
        self,
        messages: Messages,
        tool_specs: list[ToolSpec] | None = None,
        system_prompt: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[StreamEvent]:
        specs = tool_specs or []
        if self._llm is not None:
            message = await self._llm.respond(list(messages), specs, system_prompt)
        else:
            replay = _Replay(self._grammar(specs), messages)
            message = _message(await run_in_thread(replay.moves) if replay.is_long else replay.moves())
        for event in message_events(message):
            yield event

    def _grammar(self, specs: list[ToolSpec]) -> Grammar:
        # Agents on other threads may put theirs here at any time.
        known = self._known
        if known[0] != specs:
            self._known = known = list(specs), Grammar(specs)
        return known[1]


class _Replay:
    """Goes through a history as the dialogue went, to know what is open at its end."""

    def __init__(self, grammar: Grammar, messages: Messages) -> None:
        # What was called for is answered: nothing from before a call is open.
        calls = [at for at, message in enumerate(messages) if any("toolUse" in block for block in message["content"])]
        first = max(0, len(messages) - _REPLAYED, *calls[-1:])
        self._past, self._messages = messages[:first], messages[first:]
        self._dialogue = Dialogue(grammar, written=True)
        self._calls: dict[str, ToolUse] = {}
        self._tasks: dict[str, TaskStarted] = {}

    @property
    def is_long(self) -> bool:
        """Whether it may take a while."""
        texts = (block.get("text", "") for message in self._messages for block in message["content"])
        return sum(map(len, texts)) > _LONG

    def moves(self) -> list[Move]:
        """Return what the model does about all that came since it wrote last."""
        for message in self._past:
            self._note_tasks(message)
        moves: list[Move] = []
        for message in self._messages:
            self._note_tasks(message)
            if message["role"] == "assistant":
                moves = []
                said = " ".join(block["text"] for block in message["content"] if "text" in block)
                self._dialogue.last_said = said or self._dialogue.last_said
            else:
                for block in message["content"]:
                    moves += self._about(block)
        return moves

    def _about(self, block: ContentBlock) -> list[Move]:
        if "toolResult" in block:
            result = block["toolResult"]
            return self._dialogue.result(ToolResultEvent(result, None, self._started(result)))
        text = block.get("text")
        if not is_text(text) or text is None:
            return [] if text is not None else [Say("I can read text only.")]
        if tasks := told(text):
            return self._dialogue.announce(AnnouncementEvent(text, tuple(map(self._finished, tasks))))
        if _is_note(text):
            return []
        return self._dialogue.read(text)

    def _note_tasks(self, message: Message) -> None:
        for block in message["content"]:
            if "toolUse" in block:
                self._calls[block["toolUse"]["toolUseId"]] = block["toolUse"]
            elif "toolResult" in block and (task := self._started(block["toolResult"])) is not None:
                self._tasks.setdefault(task.task_id, task)

    def _started(self, result: ToolResult) -> TaskStarted | None:
        task, call = started(result), self._calls.get(result["toolUseId"])
        if task is None or call is None or call["name"] not in self._dialogue.grammar.background:
            return None
        arguments = call["input"] if isinstance(call["input"], Mapping) else {}
        return TaskStarted(task.task_id, task.number, call["name"], arguments)

    def _finished(self, task: Told) -> TaskFinished:
        known = self._tasks.get(task.task_id) or TaskStarted(task.task_id, 0, task.tool_name, {})
        return TaskFinished(
            task.task_id, known.number, known.tool_name, known.arguments, task.status, task.outcome, task.elapsed_s,
            perhaps_told=task.perhaps_told,
        )  # fmt: skip


def _message(moves: list[Move]) -> Message:
    said = " ".join(move.text for move in moves if isinstance(move, Say))
    content: list[ContentBlock] = [{"text": said}] if said else []
    content += [{"toolUse": call} for call in _calls(moves)]
    return {"role": "assistant", "content": content}


def _calls(moves: list[Move]) -> Iterator[ToolUse]:
    for move in moves:
        if isinstance(move, Call):
            yield {"name": move.tool, "input": move.input, "toolUseId": move.call_id or f"local-{uuid4().hex[:12]}"}


def _is_note(text: str) -> bool:
    """Whether a text is a remark on the conversation, as they are put where messages were left out."""
    return text.startswith(("[Earlier messages of this conversation", "[Still running: "))
