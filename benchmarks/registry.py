"""The subjects by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .background import Background
from .background_voice import BackgroundVoice
from .board import BoardLoad
from .browser import BrowserHop
from .cold_import import ColdImport
from .events import Events
from .figures import Figure
from .hundred_agents import HundredAgents
from .interruption import Interruption
from .local_model import LocalModelTalk
from .progress_load import ProgressLoad
from .runners import Runners
from .scale import Scale
from .submit import Submit
from .tool_round_trip import ToolRoundTrip
from .tool_storm import ToolStorm
from .transcripts import Transcripts

__all__ = ["SUBJECTS", "Subject"]


class Subject(Protocol):
    """Something to measure; its fields say how much of it."""

    def measure(self, runs: int) -> list[Figure]:
        """Measure this often, ours and the peer's by turns.

        Raises:
            UnavailableError: If this machine lacks what is needed.
        """
        ...


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "events": Events,
    "tool_round_trip": ToolRoundTrip,
    "interruption": Interruption,
    "transcripts": Transcripts,
    "tool_storm": ToolStorm,
    "hundred_agents": HundredAgents,
    "submit": Submit,
    "scale": Scale,
    "background": Background,
    "background_voice": BackgroundVoice,
    "runners": Runners,
    "import": ColdImport,
    "local_model": LocalModelTalk,
    "board": BoardLoad,
    "progress_load": ProgressLoad,
    "browser": BrowserHop,
}
