from __future__ import annotations

import json
from pathlib import Path

import pytest

from backchannel.errors import InvalidInputError
from backchannel.notebook.voice_snapshot import MAX_CAPTIONS, apply, new_snapshot

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "wire.json").read_text(encoding="utf-8"))


def caption(name: str, text: str = "") -> dict[str, object]:
    return {"op": "caption", "id": name, "role": "user", "text": text, "final": True, "heard": True}


def test_every_operation_of_the_golden_messages_is_understood() -> None:
    ops = next(message["ops"] for message in GOLDEN["to_page"] if message["k"] == "ops")
    shown = new_snapshot({"place": "here"})
    for op in ops:
        shown = apply(shown, op)
    assert shown["gen"] == 3
    assert shown["state"] == "speaking"
    assert shown["owner"] == "page-1"
    assert shown["info"] == {"place": "here", "model": "local"}
    assert [item["id"] for item in shown["captions"]] == ["a1"]
    assert shown["notices"] == ["The microphone is in use in another tab."]
    (question,) = shown["questions"]
    assert (question["id"], question["text"], question["tool"]) == ("77aa01ff", "Delete b.txt?", "delete")


def test_the_snapshot_has_the_fields_of_the_golden_welcome() -> None:
    welcome = next(message["snapshot"] for message in GOLDEN["to_page"] if message["k"] == "welcome")
    assert set(new_snapshot({})) == set(welcome)


def test_a_caption_with_a_known_id_is_replaced_in_its_place() -> None:
    shown = new_snapshot({})
    for op in (caption("u1", "re"), caption("a1"), caption("u1", "research")):
        shown = apply(shown, op)
    assert [(item["id"], item["text"]) for item in shown["captions"]] == [("u1", "research"), ("a1", "")]


def test_the_oldest_captions_go_when_there_are_too_many() -> None:
    shown = new_snapshot({})
    for number in range(MAX_CAPTIONS + 5):
        shown = apply(shown, caption(f"u{number}"))
    assert len(shown["captions"]) == MAX_CAPTIONS
    assert shown["captions"][0]["id"] == "u5"


def test_the_snapshot_before_stays_as_it_was() -> None:
    before = new_snapshot({"model": "m"})
    kept = json.dumps(before)
    apply(before, caption("u1"))
    apply(before, {"op": "info", "model": "other"})
    assert json.dumps(before) == kept


def test_a_generation_never_goes_back() -> None:
    shown = apply(apply(new_snapshot({}), {"op": "flush", "gen": 4}), {"op": "flush", "gen": 3})
    assert shown["gen"] == 4


def test_an_unknown_operation_is_refused_by_name() -> None:
    with pytest.raises(InvalidInputError, match="'explode'"):
        apply(new_snapshot({}), {"op": "explode"})
