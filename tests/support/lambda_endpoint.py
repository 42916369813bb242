"""A local endpoint that speaks Lambda's Invoke, and runs Python handlers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Handler = Callable[[Any], Any]


class Throttled(Exception):
    """A handler raises it for Lambda to answer that it is throttling."""


class LambdaEndpoint:
    """Answers as Lambda does. An event is tried three times; then its destination gets a record of it.

    Args:
        destination: Called with the records that Lambda sends on success and on failure.

    Attributes:
        functions: Handlers by name.
        requests: Name, invocation type and event of each that was taken.
    """

    def __init__(self, destination: Callable[[Any], object] = lambda record: None) -> None:
        self.functions: dict[str, Handler] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.destination = destination
        self.started: list[threading.Thread] = []
        endpoint = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, payload = endpoint.answer(
                    unquote(urlsplit(self.path).path.split("/")[3]),
                    self.headers.get("X-Amz-Invocation-Type", "RequestResponse"),
                    body,
                )
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for thread in self.started:
            thread.join()

    def answer(self, name: str, kind: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if name not in self.functions:
            return refused(404, "ResourceNotFoundException", f"Function not found: {name}")
        event = json.loads(body)
        self.requests.append((name, kind, event))
        if kind == "Event":
            self.started.append(threading.Thread(target=self._queued, args=(name, event)))
            self.started[-1].start()
            return 202, {}, b""
        try:
            answer = self.functions[name](event)
        except Throttled:
            return refused(429, "TooManyRequestsException", "Rate Exceeded.")
        except Exception as error:
            return 200, {"X-Amz-Function-Error": "Unhandled"}, json.dumps(failure(error)).encode()
        return 200, {}, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def _queued(self, name: str, event: Any) -> None:
        record: dict[str, Any] = {"version": "1.0", "requestPayload": event}
        for attempt in range(1, 4):
            context = {"functionArn": name, "approximateInvokeCount": attempt}
            try:
                answer = self.functions[name](event)
            except Exception as error:
                record |= {
                    "requestContext": {**context, "condition": "RetriesExhausted"},
                    "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
                    "responsePayload": failure(error),
                }
            else:
                record |= {
                    "requestContext": {**context, "condition": "Success"},
                    "responseContext": {"statusCode": 200},
                    "responsePayload": answer,
                }
                break
        self.destination(record)


def failure(error: Exception) -> dict[str, Any]:
    return {"errorType": type(error).__name__, "errorMessage": str(error), "stackTrace": ["  line 1"]}


def refused(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    body = {"Type": "User", "Message": message}
    return status, {"x-amzn-ErrorType": code, "Content-Type": "application/json"}, json.dumps(body).encode()
