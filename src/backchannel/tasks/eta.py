"""Time left: how fast a task moves, and how long the rest will take. Pure.

The rate is a median over stretches of the run, weighted by their length, so neither a slow start nor one long pause
upsets it. Samples are thinned as the run grows: a few dozen additions describe an hour.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

__all__ = ["Pace"]

SAMPLES = 16
"""Most samples that are kept; beyond, every second one goes and the spacing doubles."""

FIRST_SPACING_S = 0.05

LONGEST_S = 1e10
"""What takes longer, some centuries, is as good as unknown, seconds."""


class Pace(NamedTuple):
    """What is known of a task's speed.

    Attributes:
        samples: (time, seconds; units done), oldest first.
        spacing: Time from one sample to the next, at least, seconds.
        rate: Units per second, or None while there are fewer than two samples.
        stretch: Median time between samples, seconds.
    """

    samples: tuple[tuple[float, float], ...] = ()
    spacing: float = FIRST_SPACING_S
    rate: float | None = None
    stretch: float = 0.0

    def wants(self, at: float, done: float) -> bool:
        """Whether `add` would use this report."""
        if not self.samples:
            return True
        time, units = self.samples[-1]
        return done < units or (done > units and at >= time + self.spacing)

    def add(self, at: float, done: float) -> Pace:
        """Return the pace with one report more; going back starts anew."""
        if not self.wants(at, done):
            return self
        if self.samples and done < self.samples[-1][1]:
            return Pace(((at, done),))
        samples, spacing = (*self.samples, (at, done)), self.spacing
        if len(samples) > SAMPLES:
            samples, spacing = (*samples[:-1:2], samples[-1]), spacing * 2
        return Pace(samples, spacing, *_measured(samples))

    def remaining_s(self, done: float, total: float, reported: float, now: float, started: float) -> float | None:
        """Return the seconds left, or None while nothing is known.

        Counts down between reports, and grows again when the next report is overdue.

        Args:
            reported: When ``done`` was reported.
            started: When the task started; serves until there is a rate.
        """
        rest = total - done
        if rest <= 0:
            return 0.0
        rate, stretch = self.rate, self.stretch
        if rate is None:
            if done <= 0 or reported <= started:
                return None
            rate, stretch = done / (reported - started), reported - started
        step = rate * stretch
        if step <= 0:
            return None
        since = now - reported if now > reported else 0.0
        left, overdue = rest / rate - since, (rest / step - 1) * since
        left = overdue if overdue > left else left
        return left if 0 <= left < LONGEST_S else 0.0 if left < 0 else None


def _measured(samples: tuple[tuple[float, float], ...]) -> tuple[float | None, float]:
    """Return the weighted median of the rates between neighbours, and the median of the times between them."""
    steps = [
        ((units - units_before) / (time - time_before), time - time_before)
        for (time_before, units_before), (time, units) in itertools.pairwise(samples)
        if time > time_before
    ]
    if not steps:
        return None, 0.0
    times = sorted(time for _, time in steps)
    half = sum(times) / 2
    for rate, time in sorted(steps):
        half -= time
        if half <= 0:
            return rate, times[len(times) // 2]
    return steps[-1][0], times[len(times) // 2]
