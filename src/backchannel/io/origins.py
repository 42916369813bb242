"""Origins: which web pages may open a WebSocket. Pure.

A browser says in ``Origin`` which page asks, and the page cannot change that; other programs say nothing. A page of the
same host is let in. A name that an attacker's DNS leads to this computer is the same host, too: on the loopback
interface the host must therefore be ``localhost``, a loopback address, or one that ``origins`` names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import InvalidInputError

__all__ = ["Handshake", "check_origins", "refusal"]

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the client asked with: its ``Origin`` headers, its ``Host``, and the address that it connected to."""

    origins: tuple[str, ...] = ()
    host: str = ""
    server: str = ""


def check_origins(origins: object) -> frozenset[str]:
    """Return the pages that may connect, in one form.

    Raises:
        InvalidInputError: If it is no collection of origins such as ``"https://example.org"``, or ``"*"``.
    """
    if isinstance(origins, str | bytes) or not isinstance(origins, Collection):
        raise InvalidInputError(f"origins must be a list such as ['https://example.org'], not {origins!r:.100}")
    for origin in origins:
        if origin != "*" and (not isinstance(origin, str) or _parsed(origin) is None):
            raise InvalidInputError(
                f"origins: {origin!r:.100} is no origin; write a scheme and a host, as in 'https://example.org', or '*'"
            )
    return frozenset(origins)


def refusal(handshake: Handshake, origins: Collection[str]) -> str:
    """Return why the page that asks may not connect, and what to do; "" if it may."""
    if not handshake.origins:
        return ""
    named = handshake.origins[0]
    if "*" in origins and named == "null":
        return ""
    origin = _parsed(named) if len(handshake.origins) == 1 else None
    if origin is None:
        return f"the Origin {named!r:.100} of its page is none that can be let in"
    if "*" in origins or origin in {_parsed(known) for known in origins}:
        return ""
    scheme, host, port = origin
    if _host(handshake.host, scheme) != (host, port):
        return f"its page is of another host, {named!r:.100}; name it in origins= to let it in"
    if _is_loopback(handshake.server) and not _is_loopback(host):
        return (
            f"it asks for the host {host!r:.100} on the loopback interface, to which any page's name may be made to "
            f"lead; name {named!r:.100} in origins= if it is yours"
        )
    return ""


def _parsed(origin: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin; None if it is malformed, or names no host."""
    if not origin.isascii() or not origin.isprintable() or len(origin) > 300:
        return None
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or not parts.scheme or origin.lower() not in (f"{parts.scheme}://{parts.netloc}".lower(),):
        return None
    if "@" in parts.netloc or parts.netloc.endswith(":") or any(sign in host for sign in " \\%,;'\"<>"):
        return None
    port = _PORTS.get(parts.scheme, 0) if port is None else port
    return parts.scheme.lower(), host.rstrip("."), port


def _host(header: str, scheme: str) -> tuple[str, int] | None:
    parsed = _parsed(f"{scheme}://{header}")
    return None if parsed is None else parsed[1:]


def _is_loopback(host: str) -> bool:
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
