"""Credit: never more ahead than the lead, and every heard sample belongs to a response."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.audio.pacing import Chunk, Pacer, Unheard
from backchannel.errors import AudioFormatError
from backchannel.events import Heard

RATE = 1000  # a sample is a millisecond


def voice(samples: int, value: int = 1) -> bytes:
    return value.to_bytes(2, "little") * samples


def test_what_is_pushed_is_sent_up_to_the_lead():
    chunks = Pacer(RATE, lead_ms=100, chunk_ms=40).push("r", voice(500))
    assert [(chunk.start, chunk.samples) for chunk in chunks] == [(0, 40), (40, 40), (80, 20)]


def test_what_was_played_is_credit_for_more():
    pacer = Pacer(RATE, lead_ms=100, chunk_ms=40)
    pacer.push("r", voice(500))
    assert pacer.on_played(0, received=100, played=30) == [Chunk(0, 100, "r", voice(30))]
    assert pacer.heard() == [Heard("r", 30, False)]
    assert pacer.heard() == []


def test_a_response_is_finished_when_it_is_complete_and_all_of_it_was_played():
    pacer = Pacer(RATE)
    pacer.push("r", voice(50))
    pacer.on_played(0, 50, 50)
    assert pacer.heard() == [Heard("r", 50, False)]
    pacer.complete("r")
    assert pacer.heard() == [Heard("r", 50, True)]


def test_samples_of_a_second_response_are_counted_from_its_own_beginning():
    pacer = Pacer(RATE)
    pacer.push("one", voice(50))
    pacer.complete("one")
    pacer.push("two", voice(60))
    pacer.on_played(0, 110, 70)
    assert pacer.heard() == [Heard("one", 50, True), Heard("two", 20, False)]


def test_a_flush_says_exactly_what_was_not_heard_and_leaves_nothing():
    pacer = Pacer(RATE, lead_ms=100)
    pacer.push("one", voice(50))
    pacer.push("two", voice(300))
    pacer.on_played(0, 100, 70)
    assert pacer.flush() == [Unheard("one", 0), Unheard("two", 280)]
    assert pacer.heard() == [Heard("one", 50, True), Heard("two", 20, True)]
    assert (pacer.generation, pacer.playing, pacer.ahead, pacer.take()) == (1, False, 0, [])


def test_a_report_of_an_older_generation_is_ignored():
    pacer = Pacer(RATE)
    pacer.push("old", voice(50))
    pacer.flush()
    pacer.heard()
    pacer.push("new", voice(50))
    assert pacer.on_played(0, 50, 50) == []
    assert pacer.heard() == []


def test_another_player_begins_with_what_was_not_heard():
    pacer = Pacer(RATE, lead_ms=100, chunk_ms=100)
    pacer.push("r", voice(40, 1) + voice(40, 2))
    pacer.on_played(0, 80, 40)
    assert pacer.rewind() == [Chunk(1, 0, "r", voice(40, 2))]
    pacer.on_played(1, 40, 10)
    assert pacer.heard() == [Heard("r", 50, False)]


def test_a_response_without_voice_is_finished_when_it_is_complete():
    pacer = Pacer(RATE)
    pacer.complete("silent")
    assert pacer.heard() == [Heard("silent", 0, True)]


def test_half_a_sample_is_refused():
    with pytest.raises(AudioFormatError, match="response r: 3 bytes"):
        Pacer(RATE).push("r", b"abc")


moves = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 3), st.integers(0, 300)),
        st.tuples(st.just("complete"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("played"), st.integers(-1, 0), st.integers(0, 600)),
        st.tuples(st.just("flush"), st.just(0), st.just(0)),
        st.tuples(st.just("rewind"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(moves, st.integers(1, 400), st.integers(1, 90))
def test_nothing_is_ahead_of_the_lead_nothing_is_lost_and_nothing_is_heard_unplayed(
    steps: list[tuple[str, int, int]], lead_ms: int, chunk_ms: int
):
    pacer = Pacer(RATE, lead_ms, chunk_ms)
    pushed: dict[str, int] = {}
    heard: dict[str, int] = {}
    sent = played = made = 0
    for number, (kind, one, two) in enumerate(steps):
        chunks: list[Chunk] = []
        match kind:
            case "push":
                made = max(made, one)  # responses come one after another
                response = f"r{made}"
                if response not in heard or heard[response] >= 0:
                    pushed[response] = pushed.get(response, 0) + two
                    chunks = pacer.push(response, voice(two))
            case "played":
                played = max(played, min(two, sent)) if one == 0 else played
                chunks = pacer.on_played(pacer.generation + one, sent, two)
            case "flush":
                dropped = {item.response_id: item.samples for item in pacer.flush()}
                facts = {fact.response_id: fact for fact in pacer.heard()}
                for response, samples in dropped.items():
                    assert facts[response].finished
                    assert facts[response].samples + samples == pushed[response]
                assert not pacer.playing
                pushed, heard, sent, played, made = {}, {}, 0, 0, made + 1 + number
            case "rewind":
                sent = played = 0
                chunks = pacer.rewind()
            case _:
                pass
        for chunk in chunks:
            assert chunk.start == sent
            assert 0 < chunk.samples <= max(1, chunk_ms)
            sent += chunk.samples
        assert sent - played <= lead_ms
        for fact in pacer.heard():
            assert heard.get(fact.response_id, 0) <= fact.samples <= pushed[fact.response_id]
            heard[fact.response_id] = fact.samples


@given(st.lists(st.integers(0, 200), min_size=1, max_size=5), st.integers(1, 100))
def test_a_player_that_plays_on_hears_every_sample_of_every_response(sizes: list[int], step: int):
    pacer = Pacer(RATE, lead_ms=120, chunk_ms=40)
    for index, size in enumerate(sizes):
        pacer.push(f"r{index}", voice(size))
        pacer.complete(f"r{index}")
    total, played = sum(sizes), 0
    finished: dict[str, int] = {}
    for _ in range(total // step + 3):
        finished |= {fact.response_id: fact.samples for fact in pacer.heard() if fact.finished}
        played = min(total, played + step)
        pacer.on_played(0, total, played)
    finished |= {fact.response_id: fact.samples for fact in pacer.heard() if fact.finished}
    assert finished == {f"r{index}": size for index, size in enumerate(sizes)}


def test_voice_that_nobody_plays_is_bounded_and_the_oldest_responses_go():
    pacer = Pacer(RATE, lead_ms=100, keep_s=1.0)
    for number in range(50):
        pacer.push(f"r{number}", voice(300))
        pacer.complete(f"r{number}")
    assert sum(len(response.data) for response in pacer._responses) <= 2 * 1000
    assert pacer.dropped() == [Unheard(f"r{number}", 300) for number in range(47)]
    assert pacer.dropped() == []
    assert pacer.heard() == [Heard(f"r{number}", 0, True) for number in range(47)]
    # Whoever comes then hears the last ones.
    (first, *_) = pacer.rewind()
    assert first.response_id == "r47"


def test_of_one_response_that_is_too_long_the_end_is_dropped():
    pacer = Pacer(RATE, lead_ms=100, chunk_ms=100, keep_s=1.0)
    for _ in range(20):
        pacer.push("r", voice(100))
    assert sum(item.samples for item in pacer.dropped()) == 1000
    played = 0
    while chunks := pacer.on_played(0, played + 100, played + 100):
        played += sum(chunk.samples for chunk in chunks)
    pacer.complete("r")
    assert pacer.heard() == [Heard("r", 1000, True)]


def test_responses_that_are_never_complete_are_bounded():
    pacer, played = Pacer(RATE), 0
    for number in range(3000):
        played += sum(chunk.samples for chunk in pacer.push(f"r{number}", voice(1)))
        pacer.on_played(0, played, played)
        pacer.heard()
    assert len(pacer._responses) <= 1000
