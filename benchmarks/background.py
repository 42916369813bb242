"""Background: from a model's request to its background tool's body, and from the body's end to the model's knowing."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .background_sides import BackgroundSide, OurBackground, PoolBackground, peer_background
from .background_stage import Stage, async_body, plain_body
from .figures import Figure, Target

__all__ = ["Background"]


@dataclass(frozen=True, slots=True)
class Background:
    """``trials`` conversations a run and side, each with one task, or with ``together`` tasks that end at one instant.

    *Asked to body*: the model has asked for the calls → the last of their bodies begins. *Finished to told*: the last
    body returns → the model is called with the result of the last one. The scripted model behaves alike on both sides.
    """

    trials: int = 30
    together: int = 8

    def measure(self, runs: int) -> list[Figure]:
        return [
            *self._figures("plain tool", plain_body, 1, runs),
            *self._figures("async tool", async_body, 1, runs),
            *self._figures(f"{self.together} plain tools at once", plain_body, self.together, runs),
        ]

    def _figures(
        self, what: str, body: Callable[[Callable[[], Stage]], Callable[..., Any]], tasks: int, runs: int
    ) -> list[Figure]:
        sides: list[BackgroundSide] = [peer_background(body, tasks), OurBackground(body, tasks)]
        if body is plain_body:
            sides.append(PoolBackground(body, tasks))
        found: dict[str, list[list[Stage]]] = {side.name: [] for side in sides}
        try:
            for side in sides:
                _trials(side, min(3, self.trials), tasks)
            for run in range(runs):
                for side in sides if run % 2 == 0 else sides[::-1]:
                    found[side.name].append(_trials(side, self.trials, tasks))
        finally:
            for side in sides:
                side.close()
        peer, ours, *others = (found[side.name] for side in sides)
        peer_name = sides[0].name
        note = f"{_deliveries(ours):g} calls of the model, the peer's {_deliveries(peer):g}" if tasks > 1 else ""
        figures = [
            _figure(f"{what}: asked to body", _asked, ours, peer, peer_name, Target(1.0, ratio=True)),
            _figure(f"{what}: finished to told", _told, ours, peer, peer_name, Target(1.0, ratio=True), note),
        ]
        for other, side in zip(others, sides[2:], strict=True):
            figures += [
                _figure(f"{what}: asked to body", _asked, ours, other, side.name),
                _figure(f"{what}: finished to told", _told, ours, other, side.name),
            ]
        return figures


def _trials(side: BackgroundSide, trials: int, tasks: int) -> list[Stage]:
    stages = []
    gc.collect()
    for _ in range(trials):
        stage = Stage(tasks)
        side.run(stage)
        stages.append(stage)
    return stages


def _asked(stage: Stage) -> float:
    return stage.asked_to_body


def _told(stage: Stage) -> float:
    return stage.finished_to_told


def _deliveries(runs: Sequence[Sequence[Stage]]) -> float:
    return median(stage.deliveries for run in runs for stage in run)


def _figure(
    what: str,
    value: Callable[[Stage], float],
    ours: Sequence[Sequence[Stage]],
    peer: Sequence[Sequence[Stage]],
    peer_name: str,
    target: Target | None = None,
    note: str = "",
) -> Figure:
    mine, others = ([median(map(value, run)) for run in side] for side in (ours, peer))
    return Figure(what, "ms", mine, others, peer_name, target, note)
