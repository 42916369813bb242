"""Audio without devices: sample formats, rates, speech detection, pacing. Pure."""

from __future__ import annotations
