"""The table of all public events: class, arguments by name, and the dict that they make."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from backchannel.errors import BidiModelTimeoutError
from backchannel.events import (
    ApprovalAnswerEvent,
    ApprovalRequestEvent,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiConnectionCloseEvent,
    BidiConnectionRestartEvent,
    BidiConnectionStartEvent,
    BidiErrorEvent,
    BidiImageInputEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTextInputEvent,
    BidiTranscriptStreamEvent,
    BidiUsageEvent,
    TaskUpdateEvent,
    ToolCancelEvent,
    ToolResultEvent,
    ToolResultMessageEvent,
    ToolStreamEvent,
    ToolUseStreamEvent,
    TypedEvent,
    UserSpeechEvent,
)
from backchannel.messages import ToolResult, ToolUse

PCM = base64.b64encode(b"\x01\x00\x02\x00").decode()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n....").decode()
CALL: ToolUse = {"toolUseId": "call-1", "name": "train", "input": {"dataset": "sales"}}
RESULT: ToolResult = {"toolUseId": "call-1", "status": "success", "content": [{"text": "done"}]}
DETAILS = [{"modality": "audio", "input_tokens": 3, "output_tokens": 4}]

Row = tuple[Callable[..., TypedEvent], dict[str, Any], dict[str, Any]]

INPUTS: list[Row] = [
    (BidiTextInputEvent, {"text": "hello"}, {"type": "bidi_text_input", "text": "hello", "role": "user"}),
    (
        BidiTextInputEvent,
        {"text": "hello", "role": "assistant"},
        {"type": "bidi_text_input", "text": "hello", "role": "assistant"},
    ),
    (
        BidiAudioInputEvent,
        {"audio": PCM, "format": "pcm", "sample_rate": 16000, "channels": 1},
        {"type": "bidi_audio_input", "audio": PCM, "format": "pcm", "sample_rate": 16000, "channels": 1},
    ),
    (
        BidiImageInputEvent,
        {"image": PNG, "mime_type": "image/png"},
        {"type": "bidi_image_input", "image": PNG, "mime_type": "image/png"},
    ),
]

OUTPUTS: list[Row] = [
    (
        BidiConnectionStartEvent,
        {"connection_id": "c1", "model": "nova"},
        {"type": "bidi_connection_start", "connection_id": "c1", "model": "nova"},
    ),
    (
        BidiConnectionRestartEvent,
        {"timeout_error": BidiModelTimeoutError("eight minutes", session="s1")},
        {"type": "bidi_connection_restart", "message": "eight minutes", "turn_interrupted": False},
    ),
    (
        BidiResponseStartEvent,
        {"response_id": "r1"},
        {"type": "bidi_response_start", "response_id": "r1"},
    ),
    (
        BidiAudioStreamEvent,
        {"audio": PCM, "format": "pcm", "sample_rate": 24000, "channels": 2},
        {"type": "bidi_audio_stream", "audio": PCM, "format": "pcm", "sample_rate": 24000, "channels": 2},
    ),
    (
        BidiTranscriptStreamEvent,
        {"delta": {"text": "Hi"}, "text": "Hi", "role": "assistant", "is_final": False},
        {
            "type": "bidi_transcript_stream",
            "delta": {"text": "Hi"},
            "text": "Hi",
            "role": "assistant",
            "is_final": False,
            "current_transcript": None,
        },
    ),
    (
        BidiTranscriptStreamEvent,
        {"delta": {"text": "you"}, "text": "you", "role": "user", "is_final": True, "current_transcript": "Hi you"},
        {
            "type": "bidi_transcript_stream",
            "delta": {"text": "you"},
            "text": "you",
            "role": "user",
            "is_final": True,
            "current_transcript": "Hi you",
        },
    ),
    (BidiInterruptionEvent, {"reason": "error"}, {"type": "bidi_interruption", "reason": "error"}),
    (
        BidiResponseCompleteEvent,
        {"response_id": "r1", "stop_reason": "tool_use"},
        {"type": "bidi_response_complete", "response_id": "r1", "stop_reason": "tool_use"},
    ),
    (
        BidiUsageEvent,
        {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        {"type": "bidi_usage", "inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    ),
    (
        BidiUsageEvent,
        {
            "input_tokens": 1,
            "output_tokens": 2,
            "total_tokens": 3,
            "modality_details": DETAILS,
            "cache_read_input_tokens": 0,
            "cache_write_input_tokens": 5,
        },
        {
            "type": "bidi_usage",
            "inputTokens": 1,
            "outputTokens": 2,
            "totalTokens": 3,
            "modality_details": DETAILS,
            "cacheReadInputTokens": 0,
            "cacheWriteInputTokens": 5,
        },
    ),
    (
        BidiConnectionCloseEvent,
        {"connection_id": "c1", "reason": "user_request"},
        {"type": "bidi_connection_close", "connection_id": "c1", "reason": "user_request"},
    ),
    (
        BidiErrorEvent,
        {"error": OSError("no route")},
        {"type": "bidi_error", "message": "no route", "code": "OSError", "details": None},
    ),
    (
        BidiErrorEvent,
        {"error": OSError("no route"), "details": {"host": "h"}},
        {"type": "bidi_error", "message": "no route", "code": "OSError", "details": {"host": "h"}},
    ),
    (
        ToolUseStreamEvent,
        {"delta": {"toolUse": {"input": "{}"}}, "current_tool_use": CALL},
        {"type": "tool_use_stream", "delta": {"toolUse": {"input": "{}"}}, "current_tool_use": CALL},
    ),
    (
        ToolStreamEvent,
        {"tool_use": CALL, "tool_stream_data": {"epoch": 3}},
        {"type": "tool_stream", "tool_stream_event": {"tool_use": CALL, "data": {"epoch": 3}}},
    ),
    (ToolResultEvent, {"tool_result": RESULT}, {"type": "tool_result", "tool_result": RESULT}),
    (UserSpeechEvent, {"speaking": True}, {"type": "user_speech", "speaking": True}),
    (TaskUpdateEvent, {"task": {"id": "t1"}}, {"type": "task_update", "task": {"id": "t1"}}),
    (
        ApprovalRequestEvent,
        {"approval_id": "a1", "question": "Delete it?", "tool_use": CALL},
        {"type": "approval_request", "approval_id": "a1", "question": "Delete it?", "tool_use": CALL},
    ),
    (
        ApprovalAnswerEvent,
        {"approval_id": "a1", "approved": True, "by": "voice"},
        {"type": "approval_answer", "approval_id": "a1", "approved": True, "by": "voice", "reason": ""},
    ),
]

WITHOUT_TYPE: list[Row] = [
    (
        ToolResultMessageEvent,
        {"message": {"role": "user", "content": [{"toolResult": RESULT}]}},
        {"message": {"role": "user", "content": [{"toolResult": RESULT}]}},
    ),
    (
        ToolCancelEvent,
        {"tool_use": CALL, "message": "no"},
        {"tool_cancel_event": {"tool_use": CALL, "message": "no"}},
    ),
]
