"""How much of the long tests to run: a little in the ordinary run, all of it in ``make soak``."""

from __future__ import annotations

import os

FULL = os.environ.get("BACKCHANNEL_SOAK") == "1"


def amount(ordinary: int, full: int) -> int:
    """Return how many cases, or how much time, this run is to have."""
    return full if FULL else ordinary
