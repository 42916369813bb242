"""Figures: what was measured, in which unit, beside whom, and whether that is good enough. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["Figure", "Target", "UnavailableError", "percentile", "target_text"]


class UnavailableError(Exception):
    """Something that a subject needs is not on this machine; says what, and how to get it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must come to: at most ``limit``, or at least. ``ratio`` means ours divided by the peer's."""

    limit: float
    ratio: bool = False
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Say whether a figure or ratio is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity, with one value a run.

    Attributes:
        what: What was measured, in words.
        unit: Of the values: "ms", "MB", "events/s".
        ours: Our value in each run.
        peer: The peer's value in the same runs, or none.
        peer_name: Who the peer is.
        note: What else was seen.
    """

    what: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float] = ()
    peer_name: str = ""
    target: Target | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.ours or (self.peer and len(self.peer) != len(self.ours)):
            raise ValueError(f"{self.what}: {len(self.ours)} runs of ours beside {len(self.peer)} of the peer")
        if self.target is not None and self.target.ratio and not self.peer:
            raise ValueError(f"{self.what}: a ratio needs a peer")

    @property
    def value(self) -> float:
        """The median of our runs."""
        return median(self.ours)

    @property
    def peer_value(self) -> float | None:
        """The median of the peer's runs."""
        return median(self.peer) if self.peer else None

    @property
    def ratio(self) -> float | None:
        """The median of the ratios ours to peer, each of two values from the same run."""
        if not self.peer:
            return None
        return median(ours / peer for ours, peer in zip(self.ours, self.peer, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        value = self.ratio if self.target.ratio else self.value
        return value is not None and self.target.met(value)

    def as_json(self) -> dict[str, Any]:
        """Return the figure for a file."""
        return {
            "what": self.what,
            "unit": self.unit,
            "ours": list(self.ours),
            "peer": list(self.peer),
            "peer_name": self.peer_name,
            "median": self.value,
            "peer_median": self.peer_value,
            "ratio": self.ratio,
            "target": target_text(self),
            "met": self.met,
            "note": self.note,
        }


def percentile(values: Sequence[float], per_cent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that ``per_cent`` of all do not exceed."""
    if not values:
        raise ValueError("no values to take a percentile of")
    if not 0 < per_cent <= 100:
        raise ValueError(f"a percentile is from above 0 to 100, not {per_cent!r}")
    rank = -(-len(values) * per_cent // 100)
    return sorted(values)[int(rank) - 1]


def target_text(figure: Figure) -> str:
    """Return a figure's target as one reads it: "<= 0.5x", ">= 250 MB"; "" for none."""
    target = figure.target
    if target is None:
        return ""
    sign = "≥" if target.at_least else "≤"
    return f"{sign} {target.limit:g}{'x' if target.ratio else ' ' + figure.unit}"
