"""The mind: a language model in place of the built-in commands, with the history that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from ...events import AnnouncementEvent, ApprovalQuestionEvent, ProgressEvent, ToolResultEvent
from ...messages import ContentBlock, Messages, ToolSpec, ToolUse, tool_pair
from .dialogue import Call, Move, Say
from .parts import LanguageModel, Recognition

__all__ = ["Mind"]


class Mind:
    """Asks a `LanguageModel` about everything that is said, typed or returned.

    A call enters the history together with its result, so that the history is valid at any moment.
    """

    def __init__(self, model: LanguageModel, system_prompt: str | None, messages: Messages) -> None:
        self._model, self._system_prompt = model, system_prompt
        self._messages: Messages = list(messages)
        self._tools: Sequence[ToolSpec] = ()
        self._open: dict[str, ToolUse] = {}

    def update(self, tools: Sequence[ToolSpec]) -> None:
        self._tools = tools

    async def hear(self, recognition: Recognition) -> list[Move]:
        return await self.read(recognition.text)

    async def read(self, text: str) -> list[Move]:
        self._messages.append({"role": "user", "content": [{"text": text}]})
        return await self._respond()

    async def announce(self, event: AnnouncementEvent | ApprovalQuestionEvent) -> list[Move]:
        return await self.read(event.text)

    async def progress(self, event: ProgressEvent) -> list[Move]:
        if event.aloud:
            return await self.read(event.text)
        self._messages.append({"role": "user", "content": [{"text": event.text}]})
        return []

    async def result(self, event: ToolResultEvent) -> list[Move]:
        call = self._open.pop(event.tool_result["toolUseId"], None)
        if call is None:
            return []
        self._messages += tool_pair(call, event.tool_result)
        return await self._respond()

    async def _respond(self) -> list[Move]:
        answer = await self._model.respond(list(self._messages), list(self._tools), self._system_prompt)
        moves: list[Move] = []
        said: list[ContentBlock] = []
        for block in answer["content"]:
            if "toolUse" in block:
                call = block["toolUse"]
                call_id = call.get("toolUseId") or f"call-{uuid4().hex[:12]}"
                self._open[call_id] = {"name": call["name"], "input": call["input"], "toolUseId": call_id}
                moves.append(Call(call["name"], call["input"], call_id))
            elif block.get("text"):
                said.append({"text": block["text"]})
                moves.append(Say(block["text"]))
        if said:
            self._messages.append({"role": "assistant", "content": said})
        return moves
