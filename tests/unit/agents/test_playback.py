"""What was heard, from what the model sent and the player reported."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backchannel.agents.playback import Playback, sentences

RATE = 16000


def spoken(*pieces: tuple[str, int], complete: bool = True, tracked: bool = True) -> Playback:
    playback = Playback(RATE, tracked=tracked)
    for text, samples in pieces:
        playback.said("r", text)
        playback.sent("r", samples)
    if complete:
        playback.completed("r")
    return playback


def test_sentences_are_split_at_full_stops_but_not_inside_numbers():
    assert sentences("It is 3.5 percent. Really? Yes!  ") == ["It is 3.5 percent.", "Really?", "Yes!"]


def test_sentences_of_nothing_are_none():
    assert sentences(" \n ") == []


def test_nothing_played_is_nothing_heard():
    assert spoken(("One.", 1600), ("Two.", 1600)).heard_sentences("r") == []


def test_what_was_heard_is_cut_at_the_nearest_sentence():
    playback = spoken(("One.", 1600), ("Two.", 1600), ("Three.", 1600))
    playback.played("r", 1700)
    assert playback.heard_sentences("r") == ["One."]
    playback.played("r", 2900)
    assert playback.heard_sentences("r") == ["One.", "Two."]


def test_text_far_ahead_of_its_audio_is_shared_out_by_length():
    playback = Playback(RATE, tracked=True)
    playback.said("r", "Short one. And a sentence that is three times as long as it.")
    playback.sent("r", 16000)
    playback.completed("r")
    playback.played("r", 3000)
    assert playback.heard_sentences("r") == ["Short one."]
    playback.played("r", 16000)
    assert len(playback.heard_sentences("r")) == 2


def test_pieces_of_words_make_one_sentence():
    playback = Playback(RATE, tracked=True)
    for piece in ("Hel", "lo the", "re."):
        playback.said("r", piece)
    playback.sent("r", 800)
    playback.completed("r")
    playback.played("r", 800)
    assert playback.heard_sentences("r") == ["Hello there."]


def test_a_player_cannot_have_heard_more_than_was_sent():
    playback = spoken(("One.", 100))
    playback.played("r", 10**9)
    assert playback.get("r").heard == 100


def test_heard_never_goes_back():
    playback = spoken(("One.", 1000))
    playback.played("r", 800)
    assert playback.played("r", 500) is False
    assert playback.get("r").heard == 800


def test_without_a_player_handed_out_is_heard():
    playback = spoken(("One.", 1000), tracked=False)
    playback.handed_out("r", 1000)
    assert playback.playing == []


def test_with_a_player_handed_out_is_not_heard():
    playback = spoken(("One.", 1000))
    playback.handed_out("r", 1000)
    assert [response.id for response in playback.playing] == ["r"]


def test_a_response_plays_until_all_of_it_is_heard():
    playback = spoken(("One.", 1000))
    playback.played("r", 999)
    assert playback.remaining_s == 1 / RATE
    playback.played("r", 1000)
    assert playback.playing == []


def test_a_report_about_an_unknown_response_changes_nothing():
    playback = Playback(RATE)
    assert playback.played("nobody", 5) is False
    assert not playback.known("nobody")


def test_what_nobody_plays_waits_for_a_player_but_is_not_active():
    playback = spoken(("One.", 1000))
    playback.abandon()
    assert playback.active == []
    assert [response.id for response in playback.playing] == ["r"]
    playback.played("r", 10)
    assert [response.id for response in playback.active] == ["r"]


def test_audio_after_the_supposed_end_makes_it_play_again():
    playback = spoken(("One.", 1000))
    playback.abandon()
    playback.sent("r", 500)
    assert [response.id for response in playback.playing] == ["r"]


@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(["One. ", "Two words. ", "And three words. "]), st.integers(0, 5000)), max_size=8
    ),
    reports=st.lists(st.integers(0, 60000), max_size=10),
)
def test_heard_text_is_always_a_beginning_of_what_was_said(pieces, reports):
    playback = spoken(*pieces)
    said = [text.strip() for text, _ in pieces]
    for report in reports:
        playback.played("r", report)
        heard = playback.heard_sentences("r")
        assert heard == said[: len(heard)]
        assert playback.get("r").heard <= playback.get("r").generated


def test_a_response_is_heard_to_its_end_but_for_the_last_moment():
    playback = spoken(("One. Two.", 16000))
    rate = playback.rate
    for samples, heard in ((0, False), (16000 - rate // 2, False), (16000 - rate // 4, True), (16000, True)):
        playback.played("r", samples)
        assert playback.heard_to_end("r", 0.3) == heard


def test_what_is_not_complete_or_says_nothing_is_not_heard_to_its_end():
    unfinished = spoken(("One.", 16000), complete=False)
    unfinished.played("r", 16000)
    assert not unfinished.heard_to_end("r", 0.3)
    silent = Playback(16000)
    silent.completed("r")
    assert not silent.heard_to_end("r", 0.3)
    assert not silent.heard_to_end("unknown", 0.3)
    silent.said("written", "Delete it?")
    silent.completed("written")
    assert silent.heard_to_end("written", 0.3)


def test_of_which_audio_was_dropped_is_not_heard_to_its_end():
    playback = spoken(("One.", 16000))
    playback.dropped("r", 8000)
    playback.played("r", 16000)
    assert not playback.heard_to_end("r", 0.3)
