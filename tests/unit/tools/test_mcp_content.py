"""What an MCP tool returned, as the content of a result."""

from __future__ import annotations

import json
from types import SimpleNamespace as Block
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.tools.mcp_content import result_content


def text(value: str) -> Block:
    return Block(type="text", text=value)


def test_blocks_of_each_kind_are_shown() -> None:
    found = result_content(
        [
            text("words"),
            Block(type="image", mime_type="image/JPEG", data="AAAA"),
            Block(type="image", mime_type="image/tiff", data="AAAA"),
            Block(type="audio", mime_type="audio/wav", data="AAAA"),
            Block(type="resource", resource=Block(uri="file:///a", text="inside")),
            Block(type="resource", resource=Block(uri="file:///b", blob="AAAA")),
            Block(type="resource_link", name="link", uri="https://example.org", description="More."),
            Block(type="hologram"),
            text(""),
        ]
    )
    assert found == [
        {"text": "words"},
        {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}},
        {"text": "an image (image/tiff) that cannot be shown"},
        {"text": "a sound (audio/wav, 3 bytes)"},
        {"text": "inside"},
        {"text": "a file: file:///b (3 bytes)"},
        {"text": "link (https://example.org): More."},
        {"text": "content of the kind hologram"},
        {"text": '""'},
    ]


@pytest.mark.parametrize(
    ("texts", "structured", "shown"),
    [
        ([], None, [{"text": "no result"}]),
        ([], {"n": 1}, [{"json": {"n": 1}}]),
        (['{"n": 1}'], {"n": 1}, [{"text": '{"n": 1}'}]),
        (["5"], {"result": 5}, [{"text": "5"}]),
        (["five"], {"result": "five"}, [{"text": "five"}]),
        (["5"], {"result": "5"}, [{"text": "5"}]),
        (["1", "2"], {"result": [1, 2]}, [{"text": "1"}, {"text": "2"}]),
        (["one"], {"result": ["one"]}, [{"text": "one"}]),
        (["see the data"], {"n": 1}, [{"text": "see the data"}, {"json": {"n": 1}}]),
        (["1"], {"result": [1, 2]}, [{"text": "1"}, {"json": {"result": [1, 2]}}]),
    ],
)
def test_a_structured_value_is_given_unless_the_text_says_the_same(texts: Any, structured: Any, shown: Any) -> None:
    assert result_content([text(value) for value in texts], structured) == shown


@given(st.lists(st.text(max_size=10_000), max_size=100), st.recursive(st.text() | st.integers(), st.lists))
def test_a_result_is_bounded_and_json(texts: list[str], structured: Any) -> None:
    found = result_content([text(value) for value in texts], structured)
    assert 1 <= len(found) <= 34
    assert len(json.dumps(found, ensure_ascii=False)) < 34 * 9000
