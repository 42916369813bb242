"""HundredAgents: what many conversations at once take of one process, and whether their voices still come in time."""

from __future__ import annotations

from dataclasses import dataclass

from .figures import Figure, Target
from .process import measured_alone
from .sides import peer_side

__all__ = ["HundredAgents"]


@dataclass(frozen=True, slots=True)
class HundredAgents:
    """``agents`` that hear and speak without a pause for ``seconds``: 16 kHz, chunks of 20 ms in and of 40 ms out.

    Each side has a process of its own in each run, one after the other.
    """

    agents: int = 100
    seconds: float = 30.0

    def measure(self, runs: int) -> list[Figure]:
        peer_name = peer_side().name
        options = ("--agents", str(self.agents), "--seconds", str(self.seconds))
        bare = measured_alone("agents_process", "bare", *options)
        found: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
        for run in range(runs):
            for kind in ("ours", "peer") if run % 2 == 0 else ("peer", "ours"):
                found[kind].append(measured_alone("agents_process", kind, *options))

        def figure(what: str, unit: str, name: str, target: Target | None = None) -> Figure:
            ours, peer = ([item[name] for item in found[kind]] for kind in ("ours", "peer"))
            note = f"{bare[name]:.2g} without agents"
            return Figure(f"{self.agents} agents hear and speak: {what}", unit, ours, peer, peer_name, target, note)

        return [
            figure("processor", "cores", "cores"),
            figure("memory of each", "KB", "kb_per_agent"),
            figure("lateness of a chunk, P95", "ms", "late_p95_ms", Target(10.0)),
            figure("lateness of a chunk, most", "ms", "late_most_ms"),
        ]
