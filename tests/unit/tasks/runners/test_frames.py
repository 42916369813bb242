"""Frames over a pipe."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.tasks.runners.frames import read_frame, write_frame

MESSAGES = st.lists(st.tuples(st.text(), st.integers(), st.binary()), max_size=5)


def written(messages: list[tuple[Any, ...]]) -> bytes:
    file = io.BytesIO()
    for message in messages:
        write_frame(file, message)
    return file.getvalue()


@given(MESSAGES)
def test_messages_come_as_they_were_sent(messages: list[tuple[Any, ...]]):
    file = io.BytesIO(written(messages))
    assert [read_frame(file) for _ in messages] == messages
    assert read_frame(file) is None


@given(MESSAGES.filter(bool), st.data())
def test_a_message_that_was_cut_off_is_the_end(messages: list[tuple[Any, ...]], data: st.DataObject):
    whole, before = written(messages), written(messages[:-1])
    file = io.BytesIO(whole[: data.draw(st.integers(len(before), len(whole) - 1))])
    assert [read_frame(file) for _ in messages] == [*messages[:-1], None]


def test_a_closed_pipe_is_the_end_for_the_reader_and_an_error_for_the_writer():
    file = io.BytesIO()
    file.close()
    assert read_frame(file) is None
    with pytest.raises(ValueError, match="closed"):
        write_frame(file, ("late",))
