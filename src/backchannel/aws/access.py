"""Access: boto3 clients, made when they are first needed, whose errors say what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import AWSError
from .refusal import CREDENTIALS, refusal_of

if TYPE_CHECKING:
    import boto3

__all__ = ["Access", "explained"]

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
LAMBDA_READ_TIMEOUT_S = 910
"""A function may run for 900 s before it answers."""

_ATTEMPTS = 5
_CONNECTIONS = 50


class Access:
    """The clients of one tool. From any thread.

    Args:
        service: The service that ``client`` is for.
        client: A boto3 client, used as it is.
        session: A boto3 session; otherwise one is made from the profile and the region.
        region_name, profile_name: Instead of the configured ones.
        endpoint_url: Where the service is, instead of AWS.
        name: What the service is asked about: of an ARN the region counts where none is given.
    """

    def __init__(
        self,
        service: str,
        *,
        client: Any = None,
        session: boto3.Session | None = None,
        region_name: str | None = None,
        profile_name: str | None = None,
        endpoint_url: str | None = None,
        name: str = "",
    ) -> None:
        self._service = service
        self._client = client
        self._session = session
        self._region_name = region_name
        self._profile_name = profile_name
        self._endpoint_url = endpoint_url
        self._home = name.split(":")[3] if name.startswith("arn:") and name.count(":") >= 3 else ""
        self._made: dict[tuple[str, bool], Any] = {}
        self._lock = threading.Lock()

    def call(self, service: str, method: str, about: str, /, *, once: bool = False, **parameters: Any) -> Any:
        """Send a request and return AWS's answer.

        Args:
            about: What the request is about, as in ``table orders``.
            once: Never send the request twice: it may do something twice.

        Raises:
            AWSError: If AWS refused or was not reached; says what to do.
        """
        try:
            with explained(service, method, about):
                client = self._client_for(service, once)
            region = getattr(getattr(client, "meta", None), "region_name", None)
            with explained(service, method, about, region or ""):
                return getattr(client, method)(**parameters)
        except AWSError as error:
            if error.code in CREDENTIALS:
                with self._lock:  # the next call looks for credentials again
                    self._made.clear()
            raise

    def _client_for(self, service: str, once: bool) -> Any:
        if self._client is not None and service == self._service:
            return self._client
        with self._lock:  # sessions are not made for several threads, clients are
            if (service, once) not in self._made:
                self._made[service, once] = self._make(service, once)
            return self._made[service, once]

    def _make(self, service: str, once: bool) -> Any:
        import boto3
        from botocore.config import Config

        session = self._session or boto3.Session(profile_name=self._profile_name, region_name=self._region_name)
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=LAMBDA_READ_TIMEOUT_S if service == "lambda" else READ_TIMEOUT_S,
            tcp_keepalive=True,
            max_pool_connections=_CONNECTIONS,
            retries={"total_max_attempts": 1 if once else _ATTEMPTS, "mode": "standard"},
        )
        make: Any = session.client
        own = service == self._service
        region_name = self._region_name or (self._home if own and self._home else None)
        try:
            return make(
                service, config=config, region_name=region_name, endpoint_url=self._endpoint_url if own else None
            )
        except ValueError as error:
            if "endpoint" not in str(error).lower():
                raise
            raise AWSError(
                f"The address of AWS cannot be used: {error}. Check endpoint_url= and AWS_ENDPOINT_URL: an address "
                "begins with https://, or http://.",
                code="InvalidEndpoint",
            ) from error


@contextmanager
def explained(service: str, method: str, about: str, region: str = "") -> Iterator[None]:
    """Turn what boto3 raises into `AWSError`.

    Raises:
        AWSError: What AWS refused, and what to do.
    """
    try:
        yield
    except Exception as error:
        refusal = refusal_of(error, service, method, about, region)
        if refusal is None:
            raise
        raise refusal from error
