"""Tools as a model is told of them, for these tests."""

from __future__ import annotations

from typing import Any

from backchannel.messages import ToolSpec

TOPICS = [
    "solar power", "wind energy", "quantum computing", "machine learning", "ocean currents", "black holes",
    "electric cars", "nuclear fusion", "GPT-4",
]  # fmt: skip


def spec(name: str, required: list[str] | None = None, **properties: Any) -> ToolSpec:
    wanted = list(properties) if required is None else required
    schema = {"type": "object", "properties": properties, "required": wanted}
    return {"name": name, "description": "", "inputSchema": {"json": schema}}


RESEARCH = spec("research", topic={"type": "string", "enum": TOPICS})
TRAIN = spec(
    "train_model",
    ["dataset"],
    dataset={"enum": ["sales", "weather", "customers"]},
    epochs={"type": "integer", "minimum": 1, "maximum": 100},
    fast={"type": "boolean"},
)
NOTE = spec("write_note", text={"type": "string"})
TASKS = spec("background_tasks", [], action={"enum": ["list", "look", "cancel"]}, task={"type": "string"})
ALL = [RESEARCH, TRAIN, NOTE, TASKS]
