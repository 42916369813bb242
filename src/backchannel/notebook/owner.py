"""Ownership: which one of all pages hears and speaks. Pure; time is an argument, in seconds."""

from __future__ import annotations

__all__ = ["Ownership"]


class Ownership:
    """One page at most. A page that is silent for ``SILENCE_S`` loses it, and has it back when it returns first.

    Attributes:
        client: The page that owns; "" for none.
        microphone: Whether it also hears.
        vanished: The page that lost it by silence; "" for none.
    """

    PROBE_S = 2.0
    SILENCE_S = 5.0

    def __init__(self) -> None:
        self.client = ""
        self.microphone = False
        self.vanished = ""
        self._seen = 0.0
        self._probed = 0.0

    def claim(self, client: str, now: float, *, force: bool = False, microphone: bool = True) -> bool:
        """Return whether the page owns now. Another page's ownership is taken by ``force``, or after its silence."""
        self.expire(now)
        if self.client not in ("", client) and not force:
            return False
        self.client, self.microphone, self.vanished = client, microphone, ""
        self._seen = self._probed = now
        return True

    def release(self, client: str) -> bool:
        """Give it up; returns whether the page owned."""
        if self.vanished == client:
            self.vanished = ""
        if not client or self.client != client:
            return False
        self.client, self.microphone = "", False
        return True

    def seen(self, client: str, now: float) -> bool:
        """Note a sign of life; returns whether that gave a vanished page its ownership back."""
        if client == self.client:
            self._seen = now
            return False
        if client and client == self.vanished and not self.client:
            self.client, self.vanished = client, ""
            self._seen = self._probed = now
            return True
        return False

    def expire(self, now: float) -> bool:
        """Take it from a page that was silent too long; returns whether that happened."""
        if not self.client or now < self._seen + self.SILENCE_S:
            return False
        self.client, self.vanished = "", self.client
        return True

    def probe(self, now: float) -> bool:
        """Return whether the owner is to be asked for a sign of life, at most every ``PROBE_S``."""
        if not self.client or now < max(self._seen, self._probed) + self.PROBE_S:
            return False
        self._probed = now
        return True

    def next_check(self) -> float | None:
        """When `probe` or `expire` may have something to say; None while nobody owns."""
        if not self.client:
            return None
        return min(max(self._seen, self._probed) + self.PROBE_S, self._seen + self.SILENCE_S)
