"""The embedded model: hears the commands that tools allow, speaks, needs no network."""

from __future__ import annotations
