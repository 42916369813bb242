"""Cells that the tests' notebooks are made of."""

from __future__ import annotations

LOAD = "%load_ext backchannel"
TALK = "%talk"
SLEEP = "import time\nprint('busy', flush=True)\ntime.sleep(600)"
COMPUTE = "n = 0\nprint('busy', flush=True)\nwhile True:\n    n += 1"
FACT = "A square meter of desert receives about six kilowatt hours of sunlight a day."


def research(seconds: float = 12.0, fact: str = FACT) -> str:
    """A tool that takes this long and then returns the fact, whatever the topic."""
    return f'''%%async_tool
import time
from typing import Literal

from backchannel import track


def research(
    topic: Literal[
        "solar power", "wind energy", "deep sea fish", "coral reefs", "black holes",
        "electric cars", "machine learning", "honey bees", "volcanoes",
    ],
) -> str:
    """Research a topic in the library."""
    for _ in track(range(100), "shelves"):
        time.sleep({seconds / 100:g})
    return {fact!r}
'''
