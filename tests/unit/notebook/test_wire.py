from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backchannel.errors import InvalidInputError
from backchannel.notebook.wire import pack, unpack

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "wire.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("message", GOLDEN["from_page"], ids=lambda message: message["k"])
def test_every_golden_message_of_the_page_is_understood_in_every_field(message: dict[str, Any]) -> None:
    assert pack(unpack(message)) == message


@pytest.mark.parametrize("approved", [1, "true", None, []])
def test_an_answer_is_yes_or_no_and_nothing_like_it(approved: Any) -> None:
    with pytest.raises(InvalidInputError, match="'approved' must be bool"):
        unpack({"k": "answer", "client": "p", "question": "q", "approved": approved})
