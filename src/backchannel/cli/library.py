"""The tool that the demonstration talks to: it looks a topic up, and takes its time about it."""

from __future__ import annotations

import time
from typing import Literal

from ..tasks import AsyncTool, AsyncToolManager, async_tool, track

__all__ = ["Topic", "library"]

Topic = Literal[
    "solar power",
    "wind energy",
    "deep sea fish",
    "coral reefs",
    "black holes",
    "the roman empire",
    "electric cars",
    "machine learning",
    "honey bees",
    "volcanoes",
]

_KNOWN: dict[str, str] = {
    "solar power": "A square meter of desert receives about six kilowatt hours of sunlight a day.",
    "wind energy": "The power in the wind grows with the cube of its speed.",
    "deep sea fish": "Most animals of the deep sea make their own light.",
    "coral reefs": "A quarter of all fish in the sea depend on coral reefs.",
    "black holes": "A black hole with the mass of the sun would be six kilometers wide.",
    "the roman empire": "At its largest the Roman empire held about sixty million people.",
    "electric cars": "An electric motor turns nine tenths of its energy into motion.",
    "machine learning": "A model learns by making its error a little smaller, again and again.",
    "honey bees": "A bee visits about a hundred flowers on one trip.",
    "volcanoes": "About fifteen hundred volcanoes could erupt today.",
}


def library(manager: AsyncToolManager, seconds: float = 12.0) -> AsyncTool:
    """Return the tool ``research``, which works for about this many seconds, run by ``manager``."""

    @async_tool(manager)
    def research(topic: Topic) -> str:
        """Research a topic in the library.

        Args:
            topic: What to look up.
        """
        for _ in track(range(20), "shelves"):
            time.sleep(seconds / 20)
        return _KNOWN[topic]

    return research
