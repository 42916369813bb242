"""Access to a server through the ``openai`` package: a client for a request, and its errors in words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from ..errors import InvalidInputError, MissingExtraError, ModelError, ModelThrottledError
from ..tools.text import error_text

__all__ = ["OpenAIAccess"]

_TOO_LONG = ("context_length_exceeded", "maximum context length", "context window", "prompt is too long")


class OpenAIAccess:
    """How a model of this kind is reached.

    Args:
        feature: The model class, for errors.
        model_id: The model's name at the server.
        base_url: The API's address; None for OPENAI_BASE_URL or OpenAI's.
        api_key: The key; None for OPENAI_API_KEY. With an address of one's own it may be left out.
        client: An ``openai.AsyncOpenAI`` to use and to leave open; None for a new one with each request.
        timeout_s: The longest wait for the next piece, seconds.
        max_retries: How often a request is made again that the server did not take.

    Raises:
        InvalidInputError: If the name is blank.
        MissingExtraError: If the package ``openai`` is not installed.
    """

    def __init__(
        self,
        feature: str,
        model_id: str,
        *,
        base_url: str | None,
        api_key: str | None,
        client: Any,
        timeout_s: float,
        max_retries: int,
    ) -> None:
        if not isinstance(model_id, str) or not model_id.strip():
            raise InvalidInputError(f"{feature}: model_id must be the name of a model, not {model_id!r}")
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError(feature, "openai") from error
        self._openai = openai
        self._model_id = model_id
        self._base_url = base_url
        self._api_key = api_key
        self._client = client
        self._timeout_s = timeout_s
        self._max_retries = max_retries

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        """Give a client, and say in words what goes wrong while it is used.

        Raises:
            ModelThrottledError: If the server takes no more for now.
            ModelError: If anything else goes wrong.
        """
        client = self._client
        try:
            if client is None:
                client = self._new_client()
            yield client
        except ModelError:
            raise
        except Exception as error:
            raise self._in_words(error) from error
        finally:
            if client is not None and client is not self._client:
                await client.close()

    def failed(self, code: str | None, message: str) -> ModelError:
        """Return what a server said in the middle of its answer as an error."""
        name = self._name()
        if code is not None and ("rate_limit" in code or code in ("too_many_requests", "429")):
            return ModelThrottledError(f"{name} takes no more requests for now: {message}; try again in a while")
        said = f"{message} ({code})" if code else message
        return ModelError(f"{name} answered with an error: {said}{_advice(f'{code} {message}')}")

    def _new_client(self) -> Any:
        key = self._api_key or os.environ.get("OPENAI_API_KEY")
        if not key and (self._base_url or os.environ.get("OPENAI_BASE_URL")):
            key = "none"
        return self._openai.AsyncOpenAI(
            api_key=key, base_url=self._base_url, timeout=self._timeout_s, max_retries=self._max_retries
        )

    def _name(self) -> str:
        where = f" at {self._base_url}" if self._base_url else ""
        return f"the model {self._model_id!r}{where}"

    def _in_words(self, error: Exception) -> ModelError:
        openai, name = self._openai, self._name()
        said = error_text(error, 1000)
        code = str(getattr(error, "code", None) or "")
        match error:
            case openai.RateLimitError() if code == "insufficient_quota":
                return ModelError(f"{name} has no quota left: {said} - check the account's plan and billing")
            case openai.RateLimitError():
                return ModelThrottledError(f"{name} takes no more requests for now: {said}; try again in a while")
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return ModelError(f"{name} refused the key: {said} - check api_key or OPENAI_API_KEY")
            case openai.NotFoundError():
                return ModelError(f"{name} was not found: {said} - check model_id and base_url")
            case openai.APITimeoutError():
                return ModelError(f"{name} did not answer within {self._timeout_s:g} s; give a longer timeout_s")
            case openai.APIConnectionError():
                return ModelError(
                    f"{name} cannot be reached, or the connection broke ({said}); check base_url, and that the "
                    "server runs"
                )
            case openai.APIStatusError():
                return ModelError(f"{name} answered with an error: {said}{_advice(f'{code} {said}')}")
            case openai.APIError():
                return self.failed(code or None, said)
            case openai.OpenAIError():
                return ModelError(f"{name} cannot be asked: {said}")
        if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore"):
            return ModelError(f"the connection to {name} broke while it answered ({said})")
        return ModelError(f"{name} sent what cannot be read ({type(error).__name__}: {said}); its answer is lost")


def _advice(text: str) -> str:
    if any(part in text.lower() for part in _TOO_LONG):
        return " - give the agent a conversation_manager, which keeps the history short"
    return ""
