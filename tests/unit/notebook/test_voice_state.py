from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from backchannel.notebook.voice_state import VoiceMachine
from backchannel.notebook.wire import STATES


def listening() -> VoiceMachine:
    machine = VoiceMachine()
    machine.owned(True)
    machine.connecting("Loading.")
    machine.connected()
    return machine


def test_it_is_off_before_anything_happened() -> None:
    assert (VoiceMachine().state, VoiceMachine().detail) == ("off", "")


def test_a_claim_leads_over_connecting_to_listening() -> None:
    machine = VoiceMachine()
    machine.owned(True)
    machine.connecting("Loading the voice, 40 percent.")
    assert (machine.state, machine.detail) == ("connecting", "Loading the voice, 40 percent.")
    machine.connected()
    assert (machine.state, machine.detail) == ("listening", "")


def test_a_turn_goes_from_listening_over_thinking_and_speaking_back_to_listening() -> None:
    machine = listening()
    machine.user_speaking(True)
    assert machine.state == "listening"
    machine.user_speaking(False)
    machine.user_said()
    assert machine.state == "thinking"
    machine.response_started("r1")
    machine.playing(True)
    assert machine.state == "speaking"
    machine.response_completed("r1")
    assert machine.state == "speaking"
    machine.playing(False)
    assert machine.state == "listening"


def test_it_thinks_while_a_tool_runs_until_the_answer_after_it() -> None:
    machine = listening()
    machine.user_said()
    machine.response_started("r1")
    machine.tool_called()
    machine.response_completed("r1", tool_use=True)
    assert machine.state == "thinking"
    machine.response_started("r2")
    machine.response_completed("r2")
    assert machine.state == "listening"


def test_it_listens_again_as_soon_as_it_is_interrupted() -> None:
    machine = listening()
    machine.response_started("r1")
    machine.playing(True)
    machine.interrupted()
    assert machine.state == "listening"


def test_a_page_that_vanished_leaves_it_paused_and_one_that_went_leaves_it_off() -> None:
    machine = listening()
    machine.owned(False, vanished=True)
    assert machine.state == "paused"
    assert machine.detail
    machine.owned(False)
    assert machine.state == "off"


def test_it_says_that_it_reconnects_and_goes_on_afterwards() -> None:
    machine = listening()
    machine.reconnecting("The session came to its limit.")
    assert (machine.state, machine.live) == ("reconnecting", True)
    machine.connected()
    assert machine.state == "listening"


def test_an_error_stays_with_its_sentence_until_the_next_try() -> None:
    machine = listening()
    machine.playing(True)
    machine.failed("The model did not answer.")
    machine.owned(True)
    assert (machine.state, machine.detail, machine.live) == ("error", "The model did not answer.", False)
    machine.connecting()
    machine.connected()
    assert machine.state == "listening"


_facts = st.sampled_from(
    [
        ("connecting",),
        ("connected",),
        ("reconnecting",),
        ("failed", "x"),
        ("stopped",),
        ("owned", True),
        ("owned", False),
        ("user_speaking", True),
        ("user_said",),
        ("tool_called",),
        ("response_started", "r"),
        ("response_completed", "r"),
        ("playing", True),
        ("playing", False),
        ("interrupted",),
    ]
)


@given(st.lists(_facts))
def test_every_order_of_facts_gives_a_known_state_and_errors_always_say_something(
    facts: list[tuple[object, ...]],
) -> None:
    machine = VoiceMachine()
    for name, *arguments in facts:
        getattr(machine, str(name))(*arguments)
        assert machine.state in STATES
        assert machine.state != "error" or machine.detail
        assert machine.state in ("off", "connecting", "error", "paused", "reconnecting") or machine.live
