"""Local servers that speak as providers of text models do: Bedrock's event stream, OpenAI's chat and responses."""

from __future__ import annotations

import binascii
import itertools
import json
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .provider_rules import chat_fault, converse_fault, responses_fault


@dataclass
class Reply:
    """What a server answers to one request: text in pieces, calls with arguments in pieces, an end."""

    text: tuple[str, ...] = ()
    calls: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    status: int = 200
    error: str = ""
    fails_with: str = ""
    breaks_off: bool = False
    cut: bool = False
    usage: tuple[int, int] | None = (3, 4)
    gate: threading.Event | None = None
    reasoning: tuple[str, str] | None = None
    calls_first: bool = False
    raw: tuple[bytes, ...] = ()
    hangs_up: bool = False


class TextServer:
    """Answers requests with replies, in order; ``requests`` has what it was sent."""

    def __init__(self, replies: list[Reply]) -> None:
        self.replies = list(replies)
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.paths.append(self.path)
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.requests.append(request)
                fault = outer.fault(request)
                outer.answer(self, Reply(status=400, error=fault) if fault else outer.replies.pop(0))

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    content_type = "application/json"

    def answer(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        whole = self.whole(reply, self.requests[-1]) if reply.status == 200 else None
        if reply.status != 200 or whole is not None:
            body = json.dumps(self.refusal(reply) if whole is None else whole).encode()
            handler.send_response(reply.status)
            headers = self.refusal_headers(reply) if whole is None else {"Content-Type": "application/json"}
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", self.content_type)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for number, part in enumerate(reply.raw or self.parts(reply)):
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            handler.wfile.flush()
            if number == 1 and reply.gate is not None:
                reply.gate.wait(30)
        if reply.hangs_up:
            handler.close_connection = True
            return
        handler.wfile.write(b"0\r\n\r\n")

    def whole(self, reply: Reply, request: dict[str, Any]) -> dict[str, Any] | None:
        """The answer in one piece, if that is what was asked for."""
        return None

    def fault(self, request: dict[str, Any]) -> str:
        """Why the provider refuses a request; "" if it does not."""
        return ""

    def parts(self, reply: Reply) -> Iterator[bytes]:
        raise NotImplementedError

    def refusal(self, reply: Reply) -> dict[str, Any]:
        return {"message": reply.error}

    def refusal_headers(self, reply: Reply) -> dict[str, str]:
        return {"Content-Type": "application/json"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of an AWS event stream."""
    head = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", len(head) + len(payload) + 16, len(head))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + head + payload
    return message + struct.pack("!I", binascii.crc32(message))


class BedrockServer(TextServer):
    content_type = "application/vnd.amazon.eventstream"

    def fault(self, request: dict[str, Any]) -> str:
        return converse_fault(request, self.paths[-1])

    def whole(self, reply: Reply, request: dict[str, Any]) -> dict[str, Any] | None:
        if not self.paths[-1].endswith("/converse"):
            return None
        content: list[dict[str, Any]] = [{"text": "".join(reply.text)}] if reply.text else []
        for call_id, name, pieces in reply.calls:
            content.append({"toolUse": {"toolUseId": call_id, "name": name, "input": json.loads("".join(pieces))}})
        read, written = reply.usage or (0, 0)
        return {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": "tool_use" if reply.calls else "end_turn",
            "usage": {"inputTokens": read, "outputTokens": written, "totalTokens": read + written},
            "metrics": {"latencyMs": 1},
        }

    def refusal_headers(self, reply: Reply) -> dict[str, str]:
        codes = {429: "ThrottlingException", 403: "AccessDeniedException", 404: "ResourceNotFoundException"}
        return {"Content-Type": "application/json", "x-amzn-ErrorType": codes.get(reply.status, "ValidationException")}

    def parts(self, reply: Reply) -> Iterator[bytes]:
        def event(kind: str, **payload: Any) -> bytes:
            headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
            return frame(headers, json.dumps(payload).encode())

        yield event("messageStart", role="assistant")
        for piece in reply.text:
            yield event("contentBlockDelta", contentBlockIndex=0, delta={"text": piece})
        if reply.text:
            yield event("contentBlockStop", contentBlockIndex=0)
        if reply.fails_with:
            headers = {
                ":exception-type": reply.fails_with, ":content-type": "application/json", ":message-type": "exception"
            }  # fmt: skip
            yield frame(headers, json.dumps({"message": reply.error}).encode())
            return
        for index, (call_id, name, pieces) in enumerate(reply.calls, start=1):
            use = {"toolUseId": call_id, "name": name}
            yield event("contentBlockStart", contentBlockIndex=index, start={"toolUse": use})
            for piece in pieces:
                yield event("contentBlockDelta", contentBlockIndex=index, delta={"toolUse": {"input": piece}})
            yield event("contentBlockStop", contentBlockIndex=index)
        if reply.breaks_off:
            return
        reason = "max_tokens" if reply.cut else "tool_use" if reply.calls else "end_turn"
        yield event("messageStop", stopReason=reason)
        if reply.usage is not None:
            read, written = reply.usage
            usage = {"inputTokens": read, "outputTokens": written, "totalTokens": read + written}
            yield event("metadata", usage=usage, metrics={"latencyMs": 1})


class ChatServer(TextServer):
    content_type = "text/event-stream"

    def fault(self, request: dict[str, Any]) -> str:
        if "stream_options" in request and not request["stream"]:
            return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        return chat_fault(request)

    def whole(self, reply: Reply, request: dict[str, Any]) -> dict[str, Any] | None:
        if request["stream"]:
            return None
        calls = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": "".join(pieces)}}
            for call_id, name, pieces in reply.calls
        ]
        said = {"role": "assistant", "content": "".join(reply.text) or None, **({"tool_calls": calls} if calls else {})}
        read, written = reply.usage or (0, 0)
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        choice = {"index": 0, "message": said, "finish_reason": "tool_calls" if calls else "stop"}
        return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}

    def refusal(self, reply: Reply) -> dict[str, Any]:
        return {"error": {"message": reply.error, "type": "error", "code": None}}

    def parts(self, reply: Reply) -> Iterator[bytes]:
        def chunk(delta: dict[str, Any] | None, **more: Any) -> bytes:
            choices = [] if delta is None else [{"index": 0, "delta": delta, **more}]
            usage = more.get("usage")
            body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
            return b"data: " + json.dumps({**body, **({"usage": usage} if usage else {})}).encode() + b"\n\n"

        yield chunk({"role": "assistant", "content": ""})
        for piece in reply.text:
            yield chunk({"content": piece})
        if reply.fails_with:
            error = {"error": {"message": reply.error, "type": reply.fails_with, "code": None}}
            yield b"data: " + json.dumps(error).encode() + b"\n\n"
            return
        for index, (call_id, name, pieces) in enumerate(reply.calls):
            function = {"name": name, "arguments": ""}
            yield chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})
            for piece in pieces:
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        if reply.breaks_off:
            return
        yield chunk({}, finish_reason="length" if reply.cut else "tool_calls" if reply.calls else "stop")
        if reply.usage is not None:
            read, written = reply.usage
            usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
            yield chunk(None, usage=usage)
        yield b"data: [DONE]\n\n"


class ResponsesServer(TextServer):
    """OpenAI's Responses API, with what it refuses; events as the types of the ``openai`` package have them."""

    content_type = "text/event-stream"

    def refusal(self, reply: Reply) -> dict[str, Any]:
        return {"error": {"message": reply.error, "type": "invalid_request_error", "code": None, "param": None}}

    def fault(self, request: dict[str, Any]) -> str:
        return responses_fault(request)

    def parts(self, reply: Reply) -> Iterator[bytes]:
        numbers = itertools.count()
        tools = {tool.get("name"): tool for tool in self.requests[-1].get("tools", ())}
        output: list[dict[str, Any]] = []
        base = {
            "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "parallel_tool_calls": True,
            "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None,
        }  # fmt: skip

        def event(kind: str, **fields: Any) -> bytes:
            body = {"type": kind, "sequence_number": next(numbers), **fields}
            return f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode()

        def item(added: dict[str, Any], done: dict[str, Any], deltas: list[tuple[str, dict[str, Any]]]) -> list[bytes]:
            index = len(output)
            output.append({**added, **done})
            return [
                event("response.output_item.added", output_index=index, item=added),
                *(event(kind, output_index=index, item_id=added["id"], **more) for kind, more in deltas),
                event("response.output_item.done", output_index=index, item=output[-1]),
            ]

        def text() -> Iterator[bytes]:
            if not reply.text:
                return
            part = {"type": "output_text", "text": "".join(reply.text), "annotations": []}
            added = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
            deltas: list[tuple[str, dict[str, Any]]] = [
                ("response.output_text.delta", {"content_index": 0, "delta": piece, "logprobs": []})
                for piece in reply.text
            ]
            empty = {"type": "output_text", "text": "", "annotations": []}
            deltas.insert(0, ("response.content_part.added", {"content_index": 0, "part": empty}))
            deltas.append(("response.output_text.done", {"content_index": 0, "text": part["text"], "logprobs": []}))
            first, opened, delta, *rest = item(added, {"status": "completed", "content": [part]}, deltas)
            yield first + opened + delta
            yield from rest

        def calls() -> Iterator[bytes]:
            for number, (call_id, name, pieces) in enumerate(reply.calls):
                whole = "".join(pieces)
                added = {
                    "id": f"fc_{number}", "type": "function_call", "call_id": call_id, "name": name, "arguments": "",
                    "status": "in_progress",
                }  # fmt: skip
                if tools.get(name, {}).get("async"):
                    added["async"] = True
                deltas: list[tuple[str, dict[str, Any]]] = [
                    ("response.function_call_arguments.delta", {"delta": piece}) for piece in pieces
                ]
                deltas.append(("response.function_call_arguments.done", {"arguments": whole, "name": name}))
                status = "incomplete" if reply.cut and number == len(reply.calls) - 1 else "completed"
                yield from item(added, {"status": status, "arguments": whole}, deltas)

        opening = event("response.created", response={**base, "status": "in_progress", "output": []})
        if reply.reasoning is not None:
            said, encrypted = reply.reasoning
            thought = {"id": "rs_1", "type": "reasoning", "summary": []}
            summary = {"summary": [{"type": "summary_text", "text": said}] if said else []}
            opening += b"".join(item(thought, {**summary, "encrypted_content": encrypted}, []))
        yield opening
        if reply.calls_first:
            yield from calls()
        yield from text()
        if reply.fails_with:
            if reply.fails_with == "error":
                yield event("error", code="server_error", message=reply.error, param=None)
                return
            error = {"code": reply.fails_with, "message": reply.error}
            yield event("response.failed", response={**base, "status": "failed", "output": output, "error": error})
            return
        if not reply.calls_first:
            yield from calls()
        if reply.breaks_off:
            return
        done: dict[str, Any] = {**base, "status": "completed", "output": output}
        if reply.cut:
            done |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        if reply.usage is not None:
            read, written = reply.usage
            done["usage"] = {
                "input_tokens": read, "output_tokens": written, "total_tokens": read + written,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            }  # fmt: skip
        yield event("response.incomplete" if reply.cut else "response.completed", response=done)
