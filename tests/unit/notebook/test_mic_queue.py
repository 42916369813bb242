from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from backchannel.errors import InvalidInputError
from backchannel.notebook.mic_queue import MicQueue

CHUNK = bytes(640)


def test_chunks_come_out_as_they_went_in() -> None:
    queue = MicQueue()
    queue.put(0, 16000, [b"\x01\x00"])
    queue.put(1, 16000, [b"\x02\x00"])
    assert (len(queue), queue.arrived) == (2, 1)
    assert [queue.take().data for _ in range(2)] == [b"\x01\x00", b"\x02\x00"]


def test_more_than_a_second_costs_the_oldest() -> None:
    queue = MicQueue()
    for n in range(60):
        queue.put(n, 16000, [bytes([n, 0]) * 320])
    assert (len(queue), queue.dropped, queue.arrived) == (50, 10, 59)
    assert queue.take().data[0] == 10


@pytest.mark.parametrize(
    ("rate", "buffers", "said"),
    [
        (16000, [], "0 buffers"),
        (16000, [CHUNK, CHUNK], "2 buffers"),
        (16000, [b"\x01"], "not whole"),
        (12345, [CHUNK], "12345 Hz"),
        (16000, [bytes(64000)], "2.0 s in one chunk"),
    ],
)
def test_what_is_no_chunk_is_refused_in_words(rate: int, buffers: list[bytes], said: str) -> None:
    queue = MicQueue()
    with pytest.raises(InvalidInputError, match=said):
        queue.put(0, rate, buffers)
    assert (len(queue), queue.arrived) == (0, -1)


def test_another_page_counts_from_zero() -> None:
    queue = MicQueue()
    queue.put(70, 16000, [CHUNK])
    queue.restart()
    queue.put(0, 16000, [CHUNK])
    assert (len(queue), queue.arrived) == (1, 0)


@given(st.lists(st.tuples(st.sampled_from([8000, 16000, 48000]), st.integers(1, 4000), st.booleans()), max_size=80))
def test_it_never_holds_more_than_a_second_and_drops_only_the_oldest(chunks: list[tuple[int, int, bool]]) -> None:
    queue = MicQueue()
    inside: list[tuple[int, int]] = []
    for n, (rate, samples, take) in enumerate(chunks):
        queue.put(n, rate, [bytes(2 * samples)])
        inside.append((rate, samples))
        del inside[: len(inside) - len(queue)]
        assert sum(held / held_rate for held_rate, held in inside) <= 1.0 + 1e-5
        if take:
            chunk = queue.take()
            assert (chunk["sample_rate"], len(chunk.data) // 2) == inside.pop(0)
