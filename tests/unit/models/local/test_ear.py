"""From chunks of sound to utterances."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.models.local.ear import Ear, HearingFact, SpeechBegan, SpeechEnded, Utterance
from backchannel.models.local.grammar import Grammar
from backchannel.models.local.parts import Recognition

from .fakes import VOICE, LevelActivity, ScriptedEars, silence, voice


def ear(stt: ScriptedEars, *, complete: bool = False) -> Ear:
    made = Ear(stt, LevelActivity(), lambda recognition: complete)
    made.load()
    made.prepare(Grammar())
    return made


def hear(made: Ear, sound: bytes, chunk: int = 640, rate: int = 16000, channels: int = 1) -> list[HearingFact]:
    return [
        fact
        for start in range(0, len(sound), chunk)
        for fact in made.hear(sound[start : start + chunk], rate, channels)
    ]


def test_an_utterance_begins_ends_and_is_recognised():
    facts = hear(ear(ScriptedEars("stop")), silence(1) + voice(1) + silence(1))
    began, ended, utterance = facts
    assert began == SpeechBegan()
    assert isinstance(ended, SpeechEnded)
    assert 0.4 <= ended.late_s <= 0.44
    assert isinstance(utterance, Utterance)
    assert utterance.recognition.text == "stop"
    assert 1.25 <= utterance.length_s <= 1.4


def test_a_whole_command_ends_sooner():
    _, ended, _ = hear(ear(ScriptedEars("stop"), complete=True), silence(1) + voice(1) + silence(1))
    assert isinstance(ended, SpeechEnded)
    assert 0.25 <= ended.late_s <= 0.29


def test_the_recogniser_gets_the_sound_from_before_the_beginning_and_not_the_silence_after_the_end():
    stt = ScriptedEars("stop")
    hear(ear(stt), silence(1) + voice(1) + silence(1))
    assert 1.3 <= stt.fed[0] / 16000 <= 1.5
    assert stt.peeks == 1


def test_a_short_pause_belongs_to_the_utterance_and_all_of_it_is_fed():
    stt = ScriptedEars("stop")
    facts = hear(ear(stt), silence(1) + voice(0.5) + silence(0.3) + voice(0.5) + silence(1))
    assert [type(fact) for fact in facts] == [SpeechBegan, SpeechEnded, Utterance]
    assert 1.6 <= stt.fed[0] / 16000 <= 1.8
    assert stt.peeks == 2


def test_two_utterances_are_two():
    facts = hear(ear(ScriptedEars("one", "two")), (silence(1) + voice(0.5)) * 2 + silence(1))
    assert [fact.recognition.text for fact in facts if isinstance(fact, Utterance)] == ["one", "two"]


def test_endless_talk_is_cut_and_recognised():
    facts = hear(ear(ScriptedEars("one", "two")), voice(31), chunk=6400)
    assert [fact.length_s for fact in facts if isinstance(fact, Utterance)] == [15.008, 15.008] or all(
        14.9 < fact.length_s < 15.4 for fact in facts if isinstance(fact, Utterance)
    )


def test_silence_for_a_minute_says_nothing():
    assert hear(ear(ScriptedEars()), silence(60), chunk=16000) == []


def test_stereo_of_another_rate_is_converted():
    sound = np.concatenate([np.zeros(44100), np.full(44100, VOICE), np.zeros(44100)]).astype(np.int16)
    both = np.repeat(sound, 2).tobytes()
    facts = hear(ear(ScriptedEars("stop")), both, chunk=4096, rate=44100, channels=2)
    assert [type(fact) for fact in facts] == [SpeechBegan, SpeechEnded, Utterance]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5000))
def test_the_size_of_the_chunks_makes_no_difference(chunk: int):
    sound = silence(0.5) + voice(0.7) + silence(0.2) + voice(0.4) + silence(0.8)
    wanted = hear(ear(ScriptedEars("stop")), sound, chunk=640)
    assert hear(ear(ScriptedEars("stop")), sound, chunk=2 * chunk) == wanted


def test_what_was_recognised_is_given_as_it_is():
    doubtful = Recognition("stop", 0.5, False, ("status",))
    facts = hear(ear(ScriptedEars(doubtful)), silence(1) + voice(1) + silence(1))
    assert facts[-1].recognition is doubtful  # type: ignore[union-attr]
