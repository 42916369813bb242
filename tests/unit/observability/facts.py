"""Facts of a conversation, short to write."""

from __future__ import annotations

from typing import Any

from backchannel.events import (
    BidiAudioStreamEvent,
    BidiTranscriptStreamEvent,
    TaskStarted,
    TaskUpdateEvent,
    ToolFinished,
    ToolResultEvent,
    ToolUseStreamEvent,
)
from backchannel.messages import ToolUse

RATE = 16000


def audio(response_id: str | None = "r", samples: int = RATE) -> BidiAudioStreamEvent:
    return BidiAudioStreamEvent.from_data(bytes(2 * samples), RATE, response_id)


def said(text: str, role: str = "user", *, final: bool = True) -> BidiTranscriptStreamEvent:
    return BidiTranscriptStreamEvent({"text": text}, text, role, final)  # type: ignore[arg-type]


def use(call_id: str = "c", name: str = "train", **arguments: Any) -> ToolUse:
    return {"toolUseId": call_id, "name": name, "input": arguments}


def called(call_id: str = "c", name: str = "train", **arguments: Any) -> ToolUseStreamEvent:
    return ToolUseStreamEvent({}, use(call_id, name, **arguments))


def returned(
    call_id: str = "c",
    name: str = "train",
    *,
    status: str = "success",
    text: str = "ok",
    task: str | None = None,
    exception: BaseException | None = None,
) -> ToolFinished:
    result: Any = {"toolUseId": call_id, "status": status, "content": [{"text": text}]}
    started = None if task is None else TaskStarted(task, 1, name, {})
    return ToolFinished(use(call_id, name), ToolResultEvent(result, exception, started))


def row(task_id: str = "t", status: str = "running", tool: str = "train", **more: Any) -> TaskUpdateEvent:
    return TaskUpdateEvent({"id": task_id, "number": 1, "tool": tool, "status": status, "elapsed_s": 1.5, **more})
