"""Bedrock's text models, through the ConverseStream API and boto3."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError, ModelError, ModelThrottledError
from ..messages import Messages, ToolSpec
from ..tools.text import error_text
from ..tools.threads import run_in_thread
from .converse_messages import converse_messages
from .text import StreamEvent, message_events

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

__all__ = ["BedrockConverseModel"]

_ADVICE = {
    "AccessDenied": (
        "allow bedrock:InvokeModelWithResponseStream and bedrock:InvokeModel for it, and ask for the model in the "
        "console"
    ),
    "UnrecognizedClient": "the credentials are not valid in this region; renew them",
    "ExpiredToken": "the credentials have expired; renew them",
    "InvalidSignature": "the credentials or the computer's clock are wrong",
    "ResourceNotFound": "check the model's id and the region; some models need the id of an inference profile",
    "Validation": "check the model's id, its settings and the tools' schemas",
    "ModelTimeout": "ask for a shorter answer, or try again",
    "ModelNotReady": "try again in a moment",
    "ModelStreamError": "try again",
    "ServiceUnavailable": "try again in a moment",
    "InternalServer": "try again in a moment",
}
_NO_STREAMING = "tool use in streaming mode"
_TOO_LONG = ("too long", "too many input tokens", "context limit", "maximum context", "input length")


class BedrockConverseModel:
    """A `TextModel` of Amazon Bedrock.

    Requests run in a thread. Needs the permission ``bedrock:InvokeModelWithResponseStream``; for models that do not
    stream their use of tools, and are then asked for whole answers, ``bedrock:InvokeModel`` too.

    Args:
        model_id: Id of a model or of an inference profile.
        region: AWS region; None for that of the session.
        boto_session: The boto3 session; None for one with the default credentials.
        boto_client_config: Settings of the client, over ours (waits 120 s for the next piece, 4 attempts).
        endpoint_url: Another address than AWS's.
        max_tokens: The most tokens of an answer.
        temperature: Randomness, from 0.
        top_p: Share of the likeliest tokens that is drawn from.
        stop_sequences: Texts at which the answer ends.
        request: More of the request, as ``converse_stream`` takes it: ``guardrailConfig`` ...

    Raises:
        InvalidInputError: If the id is blank.
    """

    def __init__(
        self,
        model_id: str,
        *,
        region: str | None = None,
        boto_session: boto3.Session | None = None,
        boto_client_config: Config | None = None,
        endpoint_url: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop_sequences: Sequence[str] | None = None,
        request: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(model_id, str) or not model_id.strip():
            raise InvalidInputError(f"BedrockConverseModel: model_id must be the id of a model, not {model_id!r}")
        self.model_id = model_id
        self._place = {"region_name": region, "endpoint_url": endpoint_url}
        self._session = boto_session
        self._config = boto_client_config
        inference = {
            "maxTokens": max_tokens,
            "temperature": temperature,
            "topP": top_p,
            "stopSequences": None if stop_sequences is None else list(stop_sequences),
        }
        self._inference = {name: value for name, value in inference.items() if value is not None}
        self._request = dict(request or {})
        self._lock = threading.Lock()
        self._client: Any = None
        self._streams_calls = True

    async def stream(
        self,
        messages: Messages,
        tool_specs: list[ToolSpec] | None = None,
        system_prompt: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[StreamEvent]:
        request = self._request_for(messages, tool_specs, system_prompt)
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[StreamEvent | None] = asyncio.Queue()
        given_up = threading.Event()

        def hand_over(event: StreamEvent | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                loop.call_soon_threadsafe(events.put_nowait, event)

        def read() -> None:
            try:
                with contextlib.closing(self._parts(request)) as parts:
                    for event in parts:
                        if given_up.is_set():
                            return
                        hand_over(event)
            finally:
                hand_over(None)

        reading = asyncio.ensure_future(run_in_thread(read))
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            while (event := await events.get()) is not None:
                yield event
            try:
                await reading
            except Exception as error:
                raise self._in_words(error) from error
        finally:
            # Nothing can be closed under a thread that reads: it ends with the next piece, or its time-out.
            given_up.set()
            reading.cancel()

    def _request_for(
        self, messages: Messages, tool_specs: list[ToolSpec] | None, system_prompt: str | None
    ) -> dict[str, Any]:
        messages = converse_messages(messages, self.model_id)
        request: dict[str, Any] = {"modelId": self.model_id, "messages": messages, **self._request}
        if system_prompt and system_prompt.strip():
            request["system"] = [{"text": system_prompt}, *self._request.get("system", [])]
        if self._inference:
            request["inferenceConfig"] = {**self._inference, **self._request.get("inferenceConfig", {})}
        tools = [_tool(spec) for spec in tool_specs or ()] or _gone_tools(messages)
        if tools:
            request["toolConfig"] = {"tools": tools, **self._request.get("toolConfig", {})}
        return request

    def _parts(self, request: dict[str, Any]) -> Generator[StreamEvent]:
        """Ask, and yield what is answered: as it comes, or in one piece by a model that streams no use of tools."""
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
        client = self._client
        if self._streams_calls or "toolConfig" not in request:
            try:
                stream = client.converse_stream(**request)["stream"]
            except client.exceptions.ValidationException as error:
                if _NO_STREAMING not in str(error):
                    raise
                self._streams_calls = False
            else:
                with contextlib.closing(stream):
                    yield from stream
                return
        answer = client.converse(**request)
        yield from message_events(answer["output"]["message"], answer["stopReason"])
        yield {"metadata": {"usage": answer.get("usage") or {}}}

    def _new_client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=10, read_timeout=120, retries={"total_max_attempts": 4, "mode": "standard"})
        if self._config is not None:
            config = config.merge(self._config)
        session = self._session or boto3.Session()
        place: dict[str, Any] = {name: value for name, value in self._place.items() if value is not None}
        return session.client("bedrock-runtime", config=config, **place)

    def _in_words(self, error: Exception) -> ModelError:
        from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError

        name = f"Bedrock's model {self.model_id!r}"
        if isinstance(error, ClientError):
            said = error.response.get("Error", {})
            code, message = str(said.get("Code") or "an error"), str(said.get("Message") or error)
            if "throttl" in code.lower() or code == "TooManyRequestsException":
                return ModelThrottledError(f"{name} takes no more requests for now ({message}); try again in a while")
            advice = next((text for part, text in _ADVICE.items() if part.lower() in code.lower()), "")
            if "validation" in code.lower() and any(part in message.lower() for part in _TOO_LONG):
                advice = "give the agent a conversation_manager, which keeps the history short"
            return ModelError(f"{name} answered with {code}: {message}{f' - {advice}' if advice else ''}")
        if isinstance(error, NoCredentialsError):
            return ModelError(
                f"{name} cannot be asked: there are no AWS credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or give boto_session"
            )
        if isinstance(error, NoRegionError):
            return ModelError(f"{name} cannot be asked: there is no AWS region; give region, or set AWS_REGION")
        what = f"{type(error).__name__}: {error_text(error, 1000)}"
        return ModelError(f"{name} could not be asked, or its answer broke off: {what}")


def _tool(spec: ToolSpec) -> dict[str, Any]:
    description = spec.get("description") or spec["name"]
    return {"toolSpec": {"name": spec["name"], "description": description, "inputSchema": spec["inputSchema"]}}


def _gone_tools(messages: Messages) -> list[dict[str, Any]]:
    """Return tools for the calls of a history whose tools are gone: with calls and no tools it would be refused."""
    names = dict.fromkeys(
        block["toolUse"]["name"] for message in messages for block in message["content"] if "toolUse" in block
    )
    schema = {"json": {"type": "object", "properties": {}}}
    return [
        {"toolSpec": {"name": name, "description": "Not available any more: do not call it.", "inputSchema": schema}}
        for name in names
    ]
