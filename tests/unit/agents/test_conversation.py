"""Whose turn it is: facts in, commands out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.agents.announcements import announcement
from backchannel.agents.conversation import GATHER_S, REPLY_WAIT_S, Conversation
from backchannel.agents.mentions import MENTION_GAP_S, progress_text
from backchannel.agents.playback import Playback
from backchannel.commands import (
    AmendMessage,
    Announce,
    AppendMessage,
    CancelResponse,
    Flush,
    Mention,
    Publish,
    RunTool,
    SendResult,
    Told,
    Truncate,
    WakeAt,
)
from backchannel.events import (
    AnnouncementFailed,
    AudioDropped,
    AudioHandedOut,
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    BidiUsageEvent,
    ConnectionLost,
    Heard,
    TaskEnded,
    TaskFinished,
    TaskProgressed,
    TaskStarted,
    TaskSuperseded,
    ToolFinished,
    ToolResultEvent,
    ToolUseStreamEvent,
    UserSpeechEvent,
    UserTextSent,
)
from backchannel.messages import ToolUse, validate_messages
from backchannel.models.realtime import ModelProfile

RATE = 16000


def conversation(interruption: str = "agent", *, tracked: bool = True) -> Conversation:
    profile = ModelProfile(interruption=interruption)  # type: ignore[arg-type]
    return Conversation(profile, Playback(RATE, tracked=tracked))


def finished(number: int = 1, **changes: Any) -> TaskFinished:
    fields: dict[str, Any] = {
        "task_id": f"{number:08x}",
        "number": number,
        "tool_name": "research",
        "arguments": {"topic": "solar power"},
        "status": "done",
        "text": "Findings.",
        "elapsed_s": 2.0,
    }
    return TaskFinished(**{**fields, **changes})


def audio(response_id: str | None = "r", samples: int = 640) -> BidiAudioStreamEvent:
    return BidiAudioStreamEvent.from_data(bytes(2 * samples), RATE, response_id)


def said(text: str, *, final: bool = False, role: str = "assistant") -> BidiTranscriptStreamEvent:
    return BidiTranscriptStreamEvent({"text": text}, text, role, final)  # type: ignore[arg-type]


def use(call_id: str = "c1", name: str = "research") -> ToolUse:
    return {"toolUseId": call_id, "name": name, "input": {"topic": "solar power"}}


def result(call_id: str = "c1", task: TaskStarted | None = None) -> ToolResultEvent:
    return ToolResultEvent({"toolUseId": call_id, "status": "success", "content": [{"text": "ok"}]}, task=task)


def of(kind: type, commands: list[Any]) -> list[Any]:
    return [command for command in commands if isinstance(command, kind)]


def speaking(machine: Conversation, *, samples: int = 6400, at: float = 0.0) -> None:
    machine.handle(BidiResponseStartEvent("r"), at)
    machine.handle(said("One. "), at)
    machine.handle(audio(samples=samples // 2), at)
    machine.handle(said("Two."), at)
    machine.handle(audio(samples=samples // 2), at)


def test_an_event_that_nobody_decides_on_is_published():
    event = BidiUsageEvent(1, 2, 3)
    assert conversation().handle(event, 0.0) == [Publish(event)]


def test_a_result_is_told_at_once_when_nobody_speaks():
    machine = conversation()
    commands = machine.handle(finished(), 0.0)
    text = announcement([finished()])
    assert commands[0] == AppendMessage({"role": "user", "content": [{"text": text, "origin": "results"}]})
    assert commands[1] == Announce(text, (finished(),))


def test_several_results_are_told_in_one_go():
    machine = conversation()
    machine.handle(UserSpeechEvent(True), 0.0)
    machine.handle(finished(1), 0.1)
    machine.handle(finished(2), 0.2)
    machine.handle(UserSpeechEvent(False), 0.3)
    [command] = of(Announce, machine.tick(0.3 + REPLY_WAIT_S))
    assert [task.number for task in command.tasks] == [1, 2]


def test_a_result_waits_while_the_user_speaks_and_the_shell_is_told_when_to_look_again():
    machine = conversation()
    machine.handle(UserSpeechEvent(True), 0.0)
    assert of(Announce, machine.handle(finished(), 0.1)) == []
    commands = machine.handle(UserSpeechEvent(False), 1.0)
    assert of(Announce, commands) == []
    assert of(WakeAt, commands) == [WakeAt(1.0 + REPLY_WAIT_S)]


def test_a_result_waits_until_the_answer_has_been_played():
    machine = conversation()
    speaking(machine)
    machine.handle(finished(), 0.1)
    assert of(Announce, machine.handle(BidiResponseCompleteEvent("r", "complete"), 0.2)) == []
    assert of(Announce, machine.handle(Heard("r", 3000), 0.3)) == []
    assert len(of(Announce, machine.handle(Heard("r", 6400), 0.5))) == 1


def test_at_once_breaks_into_the_models_speech_but_not_into_the_users():
    machine = conversation()
    speaking(machine)
    assert len(of(Announce, machine.handle(finished(announce="at_once"), 0.1))) == 1
    machine = conversation()
    machine.handle(UserSpeechEvent(True), 0.0)
    assert of(Announce, machine.handle(finished(announce="at_once"), 0.1)) == []


def test_never_is_never_told():
    machine = conversation()
    assert machine.handle(finished(announce="never"), 0.0) == []
    assert machine.tick(100.0) == []


def test_a_result_counts_as_told_when_some_of_it_was_heard():
    machine = conversation()
    machine.handle(finished(), 0.0)
    machine.handle(BidiResponseStartEvent("r"), 0.1)
    machine.handle(audio(), 0.1)
    assert of(Told, machine.handle(Heard("r", 1), 0.2)) == [Told((finished(),))]


def test_a_result_that_the_model_took_without_audio_counts_as_told():
    machine = conversation()
    machine.handle(finished(), 0.0)
    machine.handle(BidiResponseStartEvent("r"), 0.1)
    assert of(Told, machine.handle(BidiResponseCompleteEvent("r", "complete"), 0.2)) == [Told((finished(),))]


def test_interrupted_with_nothing_heard_it_is_owed_again():
    machine = conversation()
    machine.handle(finished(), 0.0)
    machine.handle(BidiResponseStartEvent("r"), 0.1)
    machine.handle(audio(), 0.1)
    commands = machine.handle(UserSpeechEvent(True), 0.2)
    assert of(CancelResponse, commands) == [CancelResponse("r")]
    [amend] = of(AmendMessage, commands)
    assert amend.text == ""
    machine.handle(UserSpeechEvent(False), 1.0)
    assert len(of(Announce, machine.tick(1.0 + REPLY_WAIT_S))) == 1


def test_interrupted_after_some_was_heard_it_is_not_told_again():
    machine = conversation()
    machine.handle(finished(), 0.0)
    machine.handle(BidiResponseStartEvent("r"), 0.1)
    machine.handle(audio(), 0.1)
    machine.handle(Heard("r", 10), 0.2)
    machine.handle(UserSpeechEvent(True), 0.3)
    machine.handle(UserSpeechEvent(False), 0.4)
    assert of(Announce, machine.tick(100.0)) == []


def test_an_announcement_that_could_not_be_sent_is_tried_again_later():
    machine = conversation()
    machine.handle(finished(), 0.0)
    commands = machine.handle(AnnouncementFailed((finished(),)), 0.1)
    assert of(Announce, commands) == []
    [wake] = of(WakeAt, commands)
    assert len(of(Announce, machine.tick(wake.at))) == 1


def test_an_urgent_announcement_that_could_not_be_sent_is_not_tried_again_at_once():
    machine = conversation()
    machine.handle(finished(announce="at_once"), 0.0)
    commands = machine.handle(AnnouncementFailed((finished(announce="at_once"),)), 0.1)
    assert of(Announce, commands) == []
    [wake] = of(WakeAt, commands)
    assert wake.at >= 1.0
    assert of(Announce, machine.handle(BidiResponseStartEvent("r"), 0.2)) == []
    assert len(of(Announce, machine.tick(wake.at))) == 1


def test_an_announcement_on_a_lost_connection_is_owed_again():
    machine = conversation()
    machine.handle(finished(), 0.0)
    assert len(of(Announce, machine.handle(ConnectionLost(), 0.1))) == 1


def test_barge_in_is_one_ordered_list():
    machine = conversation()
    speaking(machine)
    machine.handle(Heard("r", 3300), 0.2)
    speech = UserSpeechEvent(True)
    assert machine.handle(speech, 0.3) == [
        Publish(speech),
        Flush("r"),
        Truncate("r", 3300),
        CancelResponse("r"),
        Publish(BidiInterruptionEvent("user_speech"), overtakes=True),
        AppendMessage({"role": "assistant", "content": [{"text": "One."}]}),
    ]


def test_a_models_own_interruption_is_not_cancelled_again():
    machine = conversation("model")
    speaking(machine)
    machine.handle(Heard("r", 6400), 0.2)
    commands = machine.handle(BidiInterruptionEvent("user_speech"), 0.3)
    assert of(CancelResponse, commands) == []
    assert of(Truncate, commands) == [Truncate("r", 6400)]
    assert of(AppendMessage, commands) == [AppendMessage({"role": "assistant", "content": [{"text": "One. Two."}]})]


def test_late_audio_and_words_of_a_cut_response_are_dropped():
    machine = conversation("model")
    speaking(machine)
    machine.handle(BidiInterruptionEvent("user_speech"), 0.3)
    assert of(Publish, machine.handle(audio(), 0.4)) == []


def test_a_message_already_written_is_cut_back_to_what_was_heard():
    machine = conversation()
    speaking(machine)
    [written] = of(AppendMessage, machine.handle(said("One. Two.", final=True), 0.1))
    machine.handle(BidiResponseCompleteEvent("r", "complete"), 0.1)
    machine.handle(Heard("r", 3200), 0.2)
    [amend] = of(AmendMessage, machine.handle(UserSpeechEvent(True), 0.3))
    assert amend.message is written.message
    assert amend.text == "One."


def test_typing_interrupts_the_voice_and_is_written_down():
    machine = conversation()
    speaking(machine)
    commands = machine.handle(UserTextSent("stop"), 0.1)
    assert len(of(CancelResponse, commands)) == 1
    assert commands[-1] == AppendMessage({"role": "user", "content": [{"text": "stop"}]})


def test_a_call_is_run_once_and_its_result_is_written_next_to_it_and_sent():
    machine = conversation()
    event = ToolUseStreamEvent({}, use())
    assert machine.handle(event, 0.0) == [Publish(event), RunTool(use())]
    assert of(RunTool, machine.handle(event, 0.1)) == []
    commands = machine.handle(ToolFinished(use(), result()), 0.2)
    messages = [command.message for command in of(AppendMessage, commands)]
    assert validate_messages(messages) == []
    assert of(SendResult, commands) == [SendResult(result()["tool_result"], None)]
    assert machine.handle(ToolFinished(use(), result()), 0.3) == []


def test_a_call_that_is_answered_at_once_comes_before_a_result_that_is_owed():
    machine = conversation()
    machine.handle(ToolUseStreamEvent({}, use()), 0.0)
    assert of(Announce, machine.handle(finished(), 0.01)) == []
    commands = machine.handle(ToolFinished(use(), result()), 0.02)
    assert len(of(SendResult, commands)) == 1
    assert of(Announce, commands) == []


def test_a_call_that_runs_long_does_not_hold_back_other_results():
    machine = conversation()
    machine.handle(ToolUseStreamEvent({}, use()), 0.0)
    [wake] = of(WakeAt, machine.handle(finished(), 0.01))
    assert len(of(Announce, machine.tick(wake.at))) == 1


def test_a_result_is_held_back_while_the_user_still_speaks():
    machine = conversation()
    machine.handle(ToolUseStreamEvent({}, use()), 0.0)
    machine.handle(UserSpeechEvent(True), 0.1)
    assert of(SendResult, machine.handle(ToolFinished(use(), result()), 0.2)) == []
    assert len(of(SendResult, machine.handle(UserSpeechEvent(False), 0.3))) == 1


def test_a_model_that_listens_by_itself_gets_results_at_once():
    machine = conversation("model")
    machine.handle(ToolUseStreamEvent({}, use()), 0.0)
    machine.handle(UserSpeechEvent(True), 0.1)
    assert len(of(SendResult, machine.handle(ToolFinished(use(), result()), 0.2))) == 1


def test_partial_transcripts_alone_make_the_user_speak_for_a_while():
    machine = conversation("model")
    machine.handle(said("how fa", role="user"), 0.0)
    assert machine.user_speaking
    machine.handle(finished(), 0.1)
    assert len(of(Announce, machine.tick(10.0))) == 1


def test_the_model_owes_an_answer_to_what_the_user_said_but_not_for_ever():
    machine = conversation("model")
    machine.handle(said("how far", role="user", final=True), 0.0)
    assert of(Announce, machine.handle(finished(), 0.1)) == []
    assert len(of(Announce, machine.tick(REPLY_WAIT_S))) == 1


def test_voice_that_goes_on_takes_the_short_way_only_where_nothing_else_waits():
    machine = conversation()
    assert not machine.goes_on(audio())
    machine.handle(BidiResponseStartEvent("r"), 0.0)
    machine.handle(audio(), 0.0)
    assert machine.goes_on(audio())
    assert machine.playback.get("r").generated == 2 * 640
    machine.handle(finished(), 0.1)
    assert not machine.goes_on(audio())
    machine.handle(UserSpeechEvent(True), 0.2)
    assert not machine.goes_on(audio())
    assert machine.playback.get("r").generated == 2 * 640


def test_audio_without_a_response_makes_one():
    machine = conversation("model")
    event = audio(None)
    machine.handle(event, 0.0)
    assert event.response_id == "response-1"
    assert not machine.free


def test_a_model_that_never_ends_its_response_does_not_hold_results_for_ever():
    machine = conversation("model", tracked=False)
    machine.handle(BidiResponseStartEvent("r"), 0.0)
    [wake] = of(WakeAt, machine.handle(finished(), 0.1))
    assert len(of(Announce, machine.tick(wake.at))) == 1


def test_a_player_that_went_away_does_not_hold_results_for_ever():
    machine = conversation()
    speaking(machine)
    machine.handle(BidiResponseCompleteEvent("r", "complete"), 0.1)
    [wake] = of(WakeAt, machine.handle(finished(), 0.2))
    assert wake.at >= 0.4
    assert len(of(Announce, machine.tick(wake.at))) == 1


def test_a_result_that_nobody_played_is_told_when_the_player_comes_back_and_only_once():
    machine = conversation()
    machine.handle(finished(1), 0.0)
    machine.handle(BidiResponseStartEvent("r"), 0.1)
    machine.handle(audio(), 0.1)
    machine.handle(BidiResponseCompleteEvent("r", "complete"), 0.1)
    machine.handle(finished(2), 0.2)
    assert of(Announce, machine.tick(60.0)) == []
    commands = machine.handle(Heard("r", 640, finished=True), 61.0)
    assert of(Told, commands) == [Told((finished(1),))]
    assert [command.tasks for command in of(Announce, commands)] == [(finished(2),)]


def test_a_result_that_nobody_played_is_owed_again_when_the_user_speaks_first():
    machine = conversation()
    machine.handle(finished(1), 0.0)
    machine.handle(BidiResponseStartEvent("r"), 0.1)
    machine.handle(audio(), 0.1)
    machine.handle(BidiResponseCompleteEvent("r", "complete"), 0.1)
    machine.tick(60.0)
    commands = machine.handle(UserSpeechEvent(True), 61.0)
    assert of(Flush, commands) == [Flush("r")]
    machine.handle(UserSpeechEvent(False), 62.0)
    assert len(of(Announce, machine.tick(62.0 + REPLY_WAIT_S))) == 1


def test_a_result_whose_audio_never_reached_the_player_is_owed_again():
    machine = conversation(tracked=False)
    machine.handle(finished(), 0.0)
    for fact in (BidiResponseStartEvent("r1"), audio("r1", 400), BidiResponseCompleteEvent("r1", "complete")):
        machine.handle(fact, 1.0)
    commands = machine.handle(AudioDropped("r1", 400), 30.0)
    assert [type(command) for command in commands if isinstance(command, (Told, Announce))] == [Announce]


def test_a_result_that_was_dropped_while_it_was_generated_is_owed_again_at_its_end():
    machine = conversation(tracked=False)
    machine.handle(finished(), 0.0)
    for fact in (BidiResponseStartEvent("r1"), audio("r1", 400), AudioDropped("r1", 400)):
        assert not [command for command in machine.handle(fact, 1.0) if isinstance(command, (Told, Announce))]
    commands = machine.handle(BidiResponseCompleteEvent("r1", "complete"), 2.0)
    assert [type(command) for command in commands if isinstance(command, (Told, Announce))] == [Announce]


def test_a_result_that_was_dropped_in_part_was_told():
    machine = conversation(tracked=False)
    machine.handle(finished(), 0.0)
    for fact in (BidiResponseStartEvent("r1"), audio("r1", 400), audio("r1", 400)):
        machine.handle(fact, 1.0)
    assert any(isinstance(command, Told) for command in machine.handle(AudioHandedOut("r1", 400), 1.0))
    machine.handle(AudioDropped("r1", 400), 30.0)
    machine.handle(BidiResponseCompleteEvent("r1", "complete"), 30.0)
    assert machine.owed == []
    assert machine.free


def test_the_announcement_names_id_tool_arguments_outcome_and_time():
    text = announcement([finished(7, status="failed", text="no such thing")])
    for part in ("00000007", "task 7", "research", "topic='solar power'", "has failed", "2.0 s", "no such thing"):
        assert part in text


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_an_announcement_is_bounded_whatever_the_arguments_and_results_are():
    arguments = {"rows": list(range(100_000)), "text": "x" * 100_000, "odd": Unprintable()}
    assert len(announcement([finished(arguments=arguments, text="y" * 100_000)])) < 6_000
    many = [finished(number, arguments=arguments, text="y" * 4_000) for number in range(32)]
    assert len(announcement(many)) < 64_000
    assert all(f"(id {task.task_id})" in announcement(many) for task in many)


def test_a_thousand_results_are_told_some_at_a_time():
    machine = conversation()
    machine.handle(UserSpeechEvent(True), 0.0)
    for number in range(1000):
        machine.handle(finished(number), 0.1)
    machine.handle(UserSpeechEvent(False), 0.2)
    told: list[str] = []
    for turn in range(1, 1000):
        commands = machine.tick(10.0 * turn)
        for announce in of(Announce, commands):
            assert len(announce.tasks) <= 32
            told += [task.task_id for task in announce.tasks]
        machine.handle(BidiResponseStartEvent(f"r{turn}"), 10.0 * turn + 1)
        machine.handle(BidiResponseCompleteEvent(f"r{turn}", "complete"), 10.0 * turn + 1)
        if not machine.owed:
            break
    assert len(told) <= 1000
    assert turn <= 40


def test_what_was_perhaps_told_says_so():
    assert "may have said this already" in announcement([finished(perhaps_told=True)])


def test_what_was_interrupted_says_so():
    text = announcement([finished(interrupted=True)])
    assert "interrupted before the user heard this" in text
    assert "already" not in text


def at_milestone(number: int = 1, text: str = "half", *, aloud: bool = True) -> TaskProgressed:
    return TaskProgressed(f"{number:08x}", f"Task {number}: {text}.", aloud)


def test_the_first_of_several_results_waits_a_moment_for_the_others():
    machine = conversation()
    for number in (1, 2, 3):
        machine.handle(ToolUseStreamEvent({}, use(f"c{number}")), 0.0)
        task = TaskStarted(f"{number:08x}", number, "research", {})
        machine.handle(ToolFinished(use(f"c{number}"), result(f"c{number}", task)), 0.0)
    commands = machine.handle(finished(1), 5.0)
    assert of(Announce, commands) == []
    assert of(WakeAt, commands) == [WakeAt(5.0 + GATHER_S)]
    assert of(Announce, machine.handle(finished(2), 5.05)) == []
    [announce] = of(Announce, machine.tick(5.0 + GATHER_S))
    assert len(announce.tasks) == 2
    machine.handle(BidiResponseStartEvent("r"), 6.0)
    machine.handle(BidiResponseCompleteEvent("r", "complete"), 6.0)
    assert len(of(Announce, machine.handle(finished(3), 7.0))) == 1


def test_the_last_of_several_results_does_not_let_the_others_wait():
    machine = conversation()
    for number in (1, 2):
        machine.handle(ToolUseStreamEvent({}, use(f"c{number}")), 0.0)
        task = TaskStarted(f"{number:08x}", number, "research", {})
        machine.handle(ToolFinished(use(f"c{number}"), result(f"c{number}", task)), 0.0)
    machine.handle(finished(1), 5.0)
    [announce] = of(Announce, machine.handle(finished(2), 5.0))
    assert len(announce.tasks) == 2


def test_a_milestone_is_said_when_nobody_speaks_and_is_no_message_of_the_history():
    commands = conversation().handle(at_milestone(), 0.0)
    assert of(Mention, commands) == [Mention((at_milestone(),), aloud=True)]
    assert of(AppendMessage, commands) == []


@pytest.mark.parametrize(
    "before",
    [
        [UserSpeechEvent(True)],
        [UserTextSent("hello")],
        [BidiResponseStartEvent("r")],
        [ToolUseStreamEvent({}, use())],
        [finished(9)],
    ],
    ids=["user speaks", "answer owed", "model speaks", "call just made", "a result is told"],
)
def test_a_milestone_waits_and_is_told_as_it_was_last(before: list[Any]):
    machine = conversation()
    for fact in before:
        machine.handle(fact, 0.0)
    assert of(Mention, machine.handle(at_milestone(text="half"), 0.1)) == []
    assert of(Mention, machine.handle(at_milestone(text="three quarters", aloud=False), 0.2)) == []
    for fact in (
        UserSpeechEvent(False),
        BidiResponseStartEvent("r"),
        audio(),
        BidiResponseCompleteEvent("r", "complete"),
    ):
        assert of(Mention, machine.handle(fact, 0.3)) == []
    commands = machine.handle(Heard("r", 640, finished=True), 0.4) + machine.tick(3.0)
    assert of(Mention, commands) == [Mention((at_milestone(text="three quarters"),), aloud=True)]


def test_several_milestones_are_said_together_and_the_next_ones_later():
    machine = conversation()
    machine.handle(UserSpeechEvent(True), 0.0)
    machine.handle(at_milestone(1), 0.1)
    machine.handle(at_milestone(2), 0.2)
    machine.handle(UserSpeechEvent(False), 0.3)
    [mention] = of(Mention, machine.tick(0.3 + REPLY_WAIT_S))
    assert [note.task_id for note in mention.notes] == ["00000001", "00000002"]
    commands = machine.handle(at_milestone(3), 3.0)
    assert of(Mention, commands) == []
    [wake] = of(WakeAt, commands)
    assert wake.at == 0.3 + REPLY_WAIT_S + MENTION_GAP_S
    assert len(of(Mention, machine.tick(wake.at))) == 1


def test_a_milestone_is_not_said_in_front_of_a_result_nor_after_the_tasks_end():
    machine = conversation()
    machine.handle(UserSpeechEvent(True), 0.0)
    machine.handle(at_milestone(1), 0.1)
    machine.handle(at_milestone(2), 0.1)
    machine.handle(at_milestone(3), 0.1)
    machine.handle(finished(1), 0.2)
    machine.handle(TaskEnded("00000002"), 0.2)
    machine.handle(UserSpeechEvent(False), 0.3)
    commands = machine.tick(0.3 + REPLY_WAIT_S)
    assert len(of(Announce, commands)) == 1
    assert of(Mention, commands) == []
    for fact in (BidiResponseStartEvent("r"), audio(), BidiResponseCompleteEvent("r", "complete")):
        machine.handle(fact, 2.0)
    [mention] = of(Mention, machine.handle(Heard("r", 640, finished=True), 2.1))
    assert mention.notes == (at_milestone(3),)


def test_a_milestone_that_is_interrupted_is_not_owed_again():
    machine = conversation()
    [mention] = of(Mention, machine.handle(at_milestone(), 0.0))
    assert machine.send_mention(mention.notes)
    machine.handle(BidiResponseStartEvent("r"), 0.1)
    machine.handle(audio(), 0.1)
    commands = machine.handle(UserSpeechEvent(True), 0.2)
    assert of(CancelResponse, commands) == [CancelResponse("r")]
    machine.handle(UserSpeechEvent(False), 0.3)
    assert of(Mention, machine.tick(60.0)) == []


def test_a_milestone_is_taken_back_when_the_user_speaks_before_it_is_sent():
    machine = conversation()
    [mention] = of(Mention, machine.handle(at_milestone(), 0.0))
    machine.handle(UserSpeechEvent(True), 0.1)
    assert not machine.send_mention(mention.notes)


def test_a_response_with_a_milestone_does_not_begin_while_the_user_speaks():
    machine = conversation()
    [mention] = of(Mention, machine.handle(at_milestone(), 0.0))
    assert machine.send_mention(mention.notes)
    machine.handle(UserSpeechEvent(True), 0.1)
    assert of(CancelResponse, machine.handle(BidiResponseStartEvent("r"), 0.2)) == [CancelResponse("r")]
    machine.handle(BidiResponseCompleteEvent("r", "interrupted"), 0.3)
    machine.handle(UserSpeechEvent(False), 0.4)
    assert of(CancelResponse, machine.handle(BidiResponseStartEvent("r2"), 0.5)) == []


def test_a_result_that_is_told_at_once_is_not_taken_for_the_milestone_that_is_being_said():
    machine = conversation()
    [mention] = of(Mention, machine.handle(at_milestone(2), 0.0))
    machine.send_mention(mention.notes)
    assert of(Announce, machine.handle(finished(1, announce="at_once"), 0.1)) == []
    commands = machine.handle(BidiResponseStartEvent("r"), 0.2)
    assert len(of(Announce, commands)) == 1
    assert of(Told, machine.handle(audio(), 0.3)) == []
    assert of(Told, machine.handle(Heard("r", 640), 0.4)) == []


@pytest.mark.parametrize("silent_text", [True, False])
def test_what_is_not_said_goes_to_models_that_take_it_silently_whoever_speaks(silent_text: bool):
    profile = ModelProfile(interruption="agent", silent_text=silent_text)
    machine = Conversation(profile, Playback(RATE, tracked=True))
    machine.handle(UserSpeechEvent(True), 0.0)
    commands = machine.handle(at_milestone(aloud=False), 0.1)
    assert of(Mention, commands) == ([Mention((at_milestone(aloud=False),), aloud=False)] if silent_text else [])
    assert of(AppendMessage, commands) == []


def test_how_far_a_task_is_does_not_overtake_its_acknowledgement():
    machine = Conversation(ModelProfile(interruption="agent", silent_text=True), Playback(RATE, tracked=True))
    machine.handle(ToolUseStreamEvent({}, use()), 0.0)
    machine.handle(UserSpeechEvent(True), 0.1)
    machine.handle(ToolFinished(use(), result()), 0.2)
    assert of(Mention, machine.handle(at_milestone(aloud=False), 0.3)) == []
    kinds = [type(command) for command in machine.handle(UserSpeechEvent(False), 0.4)]
    assert kinds.index(SendResult) < kinds.index(Mention)


def test_a_model_that_reads_no_text_is_told_no_milestones():
    machine = Conversation(ModelProfile(reads_text=False), Playback(RATE))
    assert of(Mention, machine.handle(at_milestone(), 0.0)) == []


def test_the_text_of_a_milestone_says_what_to_do_with_it():
    notes = [at_milestone(1), at_milestone(2)]
    assert "Task 1: half. Task 2: half. Tell the user" in progress_text(notes, aloud=True)
    assert "do not answer this: Task 1: half." in progress_text(notes, aloud=False)


def test_a_superseded_result_is_still_told_and_marked():
    machine = conversation()
    machine.handle(UserSpeechEvent(True), 0.0)
    machine.handle(finished(1), 0.1)
    machine.handle(finished(2, superseded_by="00000004"), 0.1)
    machine.handle(TaskSuperseded("00000001", "00000003"), 0.2)
    machine.handle(UserSpeechEvent(False), 0.3)
    [told] = of(Announce, machine.tick(0.3 + REPLY_WAIT_S))
    assert [task.superseded_by for task in told.tasks] == ["00000003", "00000004"]
    assert told.text.count("This is the older run: task") == 2
    assert "task 00000003 was started later for the same call" in told.text


class World:
    """A user, a model and a player around the machine, driven by random choices; checks the invariants."""

    def __init__(self, interruption: str) -> None:
        self.machine = conversation(interruption)
        self.now = 0.0
        self.user_speaking = False
        self.tasks: list[TaskFinished] = []
        self.told: list[str] = []
        self.announced: list[Announce] = []
        self.current: str | None = None
        self.generated: dict[str, int] = {}
        self.heard: dict[str, int] = {}
        self.count = 0
        self.mentions: list[Mention] = []
        self.mentioned_at = -1000.0

    def do(self, fact: object) -> None:
        self.take(self.machine.handle(fact, self.now))

    def take(self, commands: list[Any]) -> None:
        for command in commands:
            match command:
                case Announce(_, tasks):
                    assert not self.user_speaking, "announced over the user"
                    assert not {task.task_id for task in tasks} & set(self.told), "told twice"
                    self.announced.append(command)
                case Told(tasks):
                    for task in tasks:
                        assert task.task_id not in self.told, "told twice"
                        self.told.append(task.task_id)
                case Mention(notes, True):
                    assert not self.user_speaking, "a milestone over the user"
                    assert not self.machine.owed, "a milestone in front of a result"
                    ended = {task.task_id for task in self.tasks}
                    assert not ended & {note.task_id for note in notes}, "a milestone after the end"
                    assert self.now >= self.mentioned_at + MENTION_GAP_S
                    self.mentioned_at = self.now
                    self.mentions.append(command)
                case Truncate(response_id, samples):
                    assert samples <= self.heard.get(response_id, 0), "truncated beyond what was played"
                case CancelResponse(response_id):
                    if self.current == response_id:
                        self.current = None
                case _:
                    pass

    def step(self, action: str, amount: int) -> None:
        self.now += 0.05
        match action:
            case "task":
                self.tasks.append(finished(len(self.tasks) + 1))
                self.do(self.tasks[-1])
            case "progress":
                self.do(at_milestone(len(self.tasks) + 1 + amount % 3, aloud=amount % 5 > 0))
            case "send" if self.mentions:
                if self.machine.send_mention(self.mentions[-1].notes):
                    assert not self.user_speaking, "a milestone sent over the user"
            case "speak":
                self.user_speaking = True
                self.do(UserSpeechEvent(True))
            case "silence":
                self.user_speaking = False
                self.do(UserSpeechEvent(False))
            case "respond" if self.current is None:
                self.count += 1
                self.current = f"r{self.count}"
                self.generated[self.current] = 0
                self.do(BidiResponseStartEvent(self.current))
            case "audio" if self.current is not None:
                self.generated[self.current] += amount
                chunk = audio(self.current, amount)
                if not self.machine.goes_on(chunk):
                    self.do(chunk)
            case "complete" if self.current is not None:
                done, self.current = self.current, None
                self.do(BidiResponseCompleteEvent(done, "complete"))
            case "play" if self.generated:
                target = list(self.generated)[amount % len(self.generated)]
                self.heard[target] = min(self.generated[target], self.heard.get(target, 0) + amount)
                self.do(Heard(target, self.heard[target]))
            case "type":
                self.do(UserTextSent("hello"))
            case "lose":
                self.current, self.user_speaking = None, False
                self.do(ConnectionLost())
            case "fail" if self.announced and self.announced[-1].tasks[0].task_id not in self.told:
                self.do(AnnouncementFailed(self.announced[-1].tasks))
            case "wait":
                self.now += amount / 1000
                self.take(self.machine.tick(self.now))
            case _:
                pass

    def let_everything_end(self) -> None:
        """A patient user, a model that answers, and a player that plays."""
        if self.user_speaking:
            self.step("silence", 1)
        for _ in range(6 + len(self.tasks)):
            self.step("wait", 20_000)
            self.step("respond", 1)
            self.step("audio", 100)
            self.step("complete", 1)
            for response_id, samples in self.generated.items():
                self.heard[response_id] = samples
                self.do(Heard(response_id, samples))


ACTIONS = [
    "task",
    "progress",
    "send",
    "speak",
    "silence",
    "respond",
    "audio",
    "complete",
    "play",
    "type",
    "lose",
    "fail",
    "wait",
]


@pytest.mark.parametrize("interruption", ["agent", "model"])
@settings(max_examples=300, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 3000)), max_size=60))
def test_never_over_the_user_never_lost_never_twice_never_truncated_beyond_what_was_played(interruption, steps):
    world = World(interruption)
    for action, amount in steps:
        world.step(action, amount)
    world.let_everything_end()
    assert sorted(world.told) == sorted(task.task_id for task in world.tasks)
