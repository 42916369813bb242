"""docs/text.md: its code runs, and the models that it names are there."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from backchannel import models
from backchannel.models import OpenAIResponsesModel

PAGE = (Path(__file__).parents[3] / "docs" / "text.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_conversation_of_the_page_runs():
    said: list[str] = []
    go = threading.Event()

    def record(text: object) -> None:
        said.append(str(text))
        if len(said) == 2:
            go.set()

    names: dict[str, Any] = {"print": record, "go": go}
    assert "time.sleep(0.5)" in CODE[0]
    exec(CODE[0].replace("time.sleep(0.5)", "go.wait(30)"), names)
    names["manager"].shutdown()
    started, status, told = said
    assert started == "Started train sales, task one."
    assert status.startswith("Task 1, train sales: ")
    assert told == "By the way, train sales is done. The error on sales is 4 percent."


def test_the_async_model_of_the_page_is_made():
    pytest.importorskip("openai")
    names: dict[str, Any] = {}
    exec(CODE[1], names)
    assert isinstance(names["model"], OpenAIResponsesModel)
    assert names["model"].async_tools
    assert len(CODE) == 2


def test_the_models_of_the_page_are_there():
    named = set(re.findall(r"`(\w+Model)\b", PAGE))
    assert len(named) >= 6
    assert named <= set(models.__all__)
