"""Scale: what a queued task takes of time and memory, among a thousand of them and among many more."""

from __future__ import annotations

from dataclasses import dataclass

from .figures import Figure, Target
from .process import measured_alone

__all__ = ["Scale"]

KINDS = (
    ("queue it", "queue_us", "µs of a core"),
    ("run it, to its end", "run_us", "µs of a core"),
    ("cancel it while it waits", "cancel_us", "µs of a core"),
    ("run it, and tell its result to an agent", "tell_us", "µs of a core"),
    ("queue it, with a ledger", "ledger_us", "µs of a core"),
    ("take it up from the ledger after a crash", "restart_us", "µs of a core"),
    ("memory while it waits", "bytes", "bytes"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """``many`` tasks that do nothing, behind workers that are busy, beside ``few``: each in a process of its own.

    Time is that of the processor. A ratio near 1 says that a task costs the same however many there are.
    """

    many: int = 10_000
    few: int = 1_000

    def measure(self, runs: int) -> list[Figure]:
        found: dict[int, list[dict[str, float]]] = {self.many: [], self.few: []}
        for run in range(runs):
            for tasks in (self.many, self.few) if run % 2 == 0 else (self.few, self.many):
                found[tasks].append(measured_alone("scale_process", str(tasks)))
        return [
            Figure(
                f"each of {self.many:,} queued tasks: {what}",
                unit,
                [values[key] for values in found[self.many]],
                [values[key] for values in found[self.few]],
                f"of {self.few:,}",
                Target(1.5, ratio=True),
            )
            for what, key, unit in KINDS
        ]
