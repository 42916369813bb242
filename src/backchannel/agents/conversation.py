"""Whose turn it is, what is owed, and when the result of a background task may be told. Pure.

Facts go in, with the time; an ordered list of commands comes out. The rules:

- nothing is announced while the user speaks;
- with ``announce="when_free"`` also not while the model speaks, or owes an answer;
- a result is told once some of its audio was heard, or the response that tells it ended without audio;
- told in vain (interrupted with nothing heard, connection lost, send failed), it is owed again;
- how far a task is, is said when nobody speaks and no result is owed, once, and not after the task's end;
- an interruption is one fact and one ordered list of commands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..commands import (
    AmendMessage,
    Announce,
    AppendMessage,
    CancelResponse,
    Command,
    Flush,
    Mention,
    Publish,
    RunTool,
    SendResult,
    Told,
    Truncate,
    WakeAt,
)
from ..events import (
    AnnouncementFailed,
    ApprovalQuestionSent,
    AudioDropped,
    AudioHandedOut,
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    ConnectionLost,
    Heard,
    PlayerReady,
    TaskEnded,
    TaskFinished,
    TaskProgressed,
    TaskSuperseded,
    ToolFinished,
    ToolResultMessageEvent,
    ToolUseStreamEvent,
    UserSpeechEvent,
    UserTextSent,
)
from ..messages import Message, ToolUse, text_block, tool_pair
from ..models.realtime import ModelProfile
from .announcements import MOST_RESULTS, announcement
from .history import task_line
from .mentions import Mentions
from .playback import Playback, Response, sentences

__all__ = ["Conversation"]

REPLY_WAIT_S = 1.0
"""How long the model may take to begin an answer before the conversation counts as free, seconds."""
SPEECH_WAIT_S = 3.0
"""How long partial transcripts alone make the user count as speaking, seconds."""
STALL_S = 2.0
"""How long after its expected end a player that reports nothing is believed to play, seconds."""
RETRY_S = 5.0
"""How long to wait after an announcement could not be sent, seconds."""
GATHER_S = 0.1
"""How long the first of several results waits for those of other tasks that run, seconds."""
SILENT_S = 5.0
"""How long a model that has begun a response may send nothing before the response counts as ended, seconds."""


_SIGNS_OF_LIFE = (Heard, AudioHandedOut, UserSpeechEvent, UserTextSent, PlayerReady)
"""Facts that show that somebody is there to be told something."""


@dataclass(slots=True)
class _Telling:
    """An announcement on its way: sent to the model, and then spoken in ``response_id``."""

    tasks: tuple[TaskFinished, ...]
    message: Message
    response_id: str | None = None


@dataclass(slots=True)
class Conversation:
    """The state of one conversation with one model."""

    profile: ModelProfile
    playback: Playback
    user_speaking: bool = False
    open_calls: dict[str, ToolUse] = field(default_factory=dict)
    owed: list[TaskFinished] = field(default_factory=list)
    _generating: str | None = None
    _speaking_until: float | None = None
    _reply_until: float | None = None
    _retry_at: float | None = None
    _stalls_at: float | None = None
    _tellings: list[_Telling] = field(default_factory=list)
    _held_results: list[SendResult] = field(default_factory=list)
    _spoken: dict[str, list[Message]] = field(default_factory=dict)
    _tasks: set[str] = field(default_factory=set)
    _gather_until: float | None = None
    _mentions: Mentions = field(default_factory=Mentions)
    _unnamed: int = 0
    _unanswered: bool = False
    _deaf: bool = False
    _commands: list[Command] = field(default_factory=list)
    _now: float = 0.0

    def handle(self, fact: object, now: float) -> list[Command]:
        """Take in one fact (an event of the model, or a fact of `backchannel.events`).

        Args:
            fact: What happened.
            now: When, seconds on any clock that does not go back.
        """
        self._now = now
        if isinstance(fact, _SIGNS_OF_LIFE):
            self._deaf = False
        match fact:
            case BidiAudioStreamEvent():
                self._audio(fact)
            case AudioHandedOut(response_id, samples):
                if self.playback.handed_out(response_id, samples):
                    self._heard(response_id)
            case Heard(response_id, samples, finished):
                if self.playback.played(response_id, samples, finished):
                    self._heard(response_id)
            case AudioDropped(response_id, samples):
                self._dropped(response_id, samples)
            case BidiTranscriptStreamEvent():
                self._transcript(fact)
            case UserSpeechEvent():
                self._speech(fact)
            case BidiResponseStartEvent():
                self._response_started(fact)
            case BidiResponseCompleteEvent():
                self._response_completed(fact)
            case BidiInterruptionEvent():
                self._interrupt(fact, cancel=False)
                if fact.reason == "user_speech" and not self.user_speaking:
                    self.user_speaking, self._speaking_until = True, now + SPEECH_WAIT_S
            case ToolUseStreamEvent():
                self._call(fact)
            case ToolFinished():
                self._tool_finished(fact)
            case TaskProgressed():
                self._mentions.came(fact, self.profile)
            case TaskEnded(task_id):
                self._tasks.discard(task_id)
                self._mentions.ended(task_id)
            case TaskSuperseded(task_id, later):
                self.owed = [replace(t, superseded_by=later) if t.task_id == task_id else t for t in self.owed]
            case TaskFinished():
                self._tasks.discard(fact.task_id)
                self._mentions.ended(fact.task_id)
                if fact.announce != "never":
                    if not self.owed:
                        self._gather_until = now + GATHER_S
                    self.owed.append(fact)
            case AnnouncementFailed(tasks):
                self._owe_again([item for item in self._tellings if item.tasks == tasks])
                self._reply_until = self._retry_at = now + RETRY_S
            case UserTextSent():
                self._typed(fact)
            case ConnectionLost():
                self._connection_lost()
            case PlayerReady() | ApprovalQuestionSent():
                pass
            case _:
                self._commands.append(Publish(fact))
        return self._settle()

    def goes_on(self, event: BidiAudioStreamEvent) -> bool:
        """Take in more of the voice that is being spoken, the most frequent fact, where nothing else is to be done.

        True if the event is to be published, and that is all. False if it was not taken in: `handle` it.
        """
        response_id = self._generating
        if response_id is None or event.response_id not in (None, response_id) or self._waiting():
            return False
        if not self.playback.goes_on(response_id, event.samples):
            return False
        event.response_id = response_id
        self._stalls_at = None
        return True

    def handed_out(self, event: BidiAudioStreamEvent) -> bool:
        """Take in that a reader took more of the voice that is being spoken; False as `goes_on`."""
        response_id = event.response_id
        if response_id is None or response_id != self._generating or self._waiting():
            return False
        self._deaf = False
        return self.playback.heard_on(response_id, event.samples)

    def _waiting(self) -> bool:
        """Whether something waits for the next fact, whatever it is."""
        return (
            self._reply_until is not None
            or self._speaking_until is not None
            or bool(self.owed or self._tellings or self._held_results or self._mentions.waiting)
        )

    def tick(self, now: float) -> list[Command]:
        """Say that it is ``now``: what waits for time to pass may happen."""
        self._now = now
        return self._settle()

    @property
    def free(self) -> bool:
        """Whether nobody speaks, and nobody is expected to."""
        return not (self.user_speaking or self._generating or self._reply_until is not None or self.playback.active)

    @property
    def turn_open(self) -> bool:
        """Whether the user speaks, waits for an answer, or the model is giving one."""
        return self.user_speaking or self._unanswered or self._generating is not None or self._reply_until is not None

    def tells(self, tasks: tuple[TaskFinished, ...]) -> bool:
        """Whether an announcement of exactly these tasks is on its way."""
        return any(telling.tasks is tasks for telling in self._tellings)

    def send_mention(self, notes: tuple[TaskProgressed, ...]) -> bool:
        """Note that the model is about to be given these milestones to say; False if that was taken back."""
        return self._mentions.send(notes)

    def drop_mention(self, notes: tuple[TaskProgressed, ...]) -> None:
        """Note that the model was not given these milestones."""
        self._mentions.drop(notes)

    # What the model does

    def _response_started(self, event: BidiResponseStartEvent) -> None:
        if self._generating not in (None, event.response_id):
            self.playback.completed(str(self._generating))
        self._generating = event.response_id
        self._reply_until, self._unanswered = None, False
        self.playback.get(event.response_id)
        for telling in self._tellings:
            if telling.response_id is None:
                telling.response_id = event.response_id
        mentions = self._mentions.begun()
        if self.user_speaking and self._decides and (mentions or self._telling_in(event.response_id)):
            self._commands.append(CancelResponse(event.response_id))
            self._cut(event.response_id)
            return
        self._commands.append(Publish(event))

    def _audio(self, event: BidiAudioStreamEvent) -> None:
        response_id = event.response_id or self._generating
        if response_id is None:
            self._unnamed += 1
            self._response_started(BidiResponseStartEvent(f"response-{self._unnamed}"))
            response_id = self._generating
            if response_id is None:
                return
        event.response_id = response_id
        if self.playback.get(response_id).cut:
            return
        self._generating = response_id
        self.playback.sent(response_id, event.samples)
        self._commands.append(Publish(event))

    def _transcript(self, event: BidiTranscriptStreamEvent) -> None:
        if event.role == "assistant":
            self._said(event)
        else:
            self._user_said(event)

    def _said(self, event: BidiTranscriptStreamEvent) -> None:
        response_id = self._generating
        if response_id is not None and self.playback.get(response_id).cut:
            return
        if response_id is not None and (not event.is_final or not self.playback.get(response_id).marks):
            self.playback.said(response_id, event.delta.get("text") or event.text)
        if event.is_final and event.text.strip():
            message: Message = {"role": "assistant", "content": [{"text": event.text}]}
            self._commands.append(AppendMessage(message))
            if response_id is not None:
                self._spoken.setdefault(response_id, []).append(message)
        self._commands.append(Publish(event))

    def _response_completed(self, event: BidiResponseCompleteEvent) -> None:
        response_id = event.response_id
        if self._generating == response_id or not self.playback.known(response_id):
            self._generating = None
        response = self.playback.get(response_id)
        if event.stop_reason == "interrupted" and not response.cut:
            self._cut(response_id)
        self.playback.completed(response_id)
        if response.dropped:
            self._unheard(response)
        elif not response.cut and response.generated == 0:
            self._told(response_id)
        self._commands.append(Publish(event))

    def _call(self, event: ToolUseStreamEvent) -> None:
        tool_use: ToolUse = event.current_tool_use
        self._commands.append(Publish(event))
        if tool_use["toolUseId"] not in self.open_calls:
            self.open_calls[tool_use["toolUseId"]] = tool_use
            self._unanswered = False
            self._reply_until = self._now + REPLY_WAIT_S
            self._commands.append(RunTool(tool_use))

    def _tool_finished(self, fact: ToolFinished) -> None:
        if self.open_calls.pop(fact.tool_use["toolUseId"], None) is None:
            return
        if fact.event.task is not None:
            self._tasks.add(fact.event.task.task_id)
        call, answer = tool_pair(fact.tool_use, fact.event.tool_result)
        self._commands += [AppendMessage(call), AppendMessage(answer)]
        self._commands += [Publish(fact.event), Publish(ToolResultMessageEvent(answer))]
        if not fact.ends:
            self._held_results.append(SendResult(fact.event.tool_result, fact.event.task))

    # What the user does

    def _speech(self, event: UserSpeechEvent) -> None:
        self.user_speaking = bool(event.speaking)
        self._speaking_until = None
        if event.speaking:
            self._mentions.take_back()
            self._commands.append(Publish(event))
            if self._decides and (self._generating or self.playback.playing):
                self._interrupt(BidiInterruptionEvent("user_speech"), cancel=True)
        else:
            self._mentions.clear()
            self._reply_until = self._now + REPLY_WAIT_S
            self._commands.append(Publish(event))

    def _user_said(self, event: BidiTranscriptStreamEvent) -> None:
        if event.is_final:
            if self._speaking_until is not None:
                self.user_speaking, self._speaking_until = False, None
            if event.text.strip():
                self._unanswered = self._generating is None
                self._commands.append(AppendMessage({"role": "user", "content": [{"text": event.text}]}))
            if self._generating is None:
                self._reply_until = self._now + REPLY_WAIT_S
        elif (
            self._generating is None and not self.playback.playing and (not self.user_speaking or self._speaking_until)
        ):
            self.user_speaking, self._speaking_until = True, self._now + SPEECH_WAIT_S
        self._commands.append(Publish(event))

    def _typed(self, sent: UserTextSent) -> None:
        if self._decides and (self._generating or self.playback.playing):
            self._interrupt(BidiInterruptionEvent("user_speech"), cancel=True)
        self._unanswered = True
        self._mentions.clear()
        if sent.text.strip():
            self._commands.append(AppendMessage({"role": sent.role, "content": [text_block(sent.text, sent.origin)]}))
        self._reply_until = self._now + REPLY_WAIT_S

    # Interruptions

    @property
    def _decides(self) -> bool:
        return self.profile.interruption == "agent"

    def _interrupt(self, event: BidiInterruptionEvent, *, cancel: bool) -> None:
        self._mentions.clear()
        ids = [response.id for response in self.playback.playing]
        if self._generating is not None and self._generating not in ids:
            ids.append(self._generating)
        for response_id in ids:
            self._commands.append(Flush(response_id))
            if self.playback.get(response_id).generated:
                self._commands.append(Truncate(response_id, self.playback.get(response_id).heard))
            if cancel and response_id == self._generating:
                self._commands.append(CancelResponse(response_id))
        self._commands.append(Publish(event, overtakes=True))
        for response_id in ids:
            self._cut(response_id)
        self._generating = None

    def _cut(self, response_id: str) -> None:
        response = self.playback.cut(response_id)
        messages = self._spoken.pop(response_id, [])
        if response.generated:
            heard = self.playback.heard_sentences(response_id)
            if not messages and heard:
                self._commands.append(AppendMessage({"role": "assistant", "content": [{"text": " ".join(heard)}]}))
            self._amend(messages, len(heard))
        telling = self._telling_in(response_id)
        if telling and response.heard <= 0:
            self._owe_again(telling, known=True)

    def _amend(self, messages: Iterable[Message], count: int) -> None:
        for message in messages:
            parts = sentences(message["content"][0]["text"])
            if count < len(parts):
                self._commands.append(AmendMessage(message, " ".join(parts[: max(count, 0)])))
            count -= len(parts)

    def _connection_lost(self) -> None:
        for response in self.playback.playing:
            if not response.complete:
                self.playback.completed(response.id)
        self._generating, self._reply_until, self._unanswered = None, None, False
        self._retry_at = None
        self.user_speaking, self._speaking_until = False, None
        self._mentions.clear()
        self._owe_again([item for item in self._tellings if not self._has_audio(item)])

    # Telling results

    def _telling_in(self, response_id: str) -> list[_Telling]:
        return [telling for telling in self._tellings if telling.response_id == response_id]

    def _has_audio(self, telling: _Telling) -> bool:
        return telling.response_id is not None and self.playback.get(telling.response_id).generated > 0

    def _heard(self, response_id: str) -> None:
        if self.playback.get(response_id).heard > 0:
            self._told(response_id)

    def _dropped(self, response_id: str, samples: int) -> None:
        if self.playback.known(response_id):
            self._unheard(self.playback.dropped(response_id, samples))

    def _unheard(self, response: Response) -> None:
        """If a response is over and nobody heard anything of it, nothing was told in it."""
        if response.complete and response.generated <= 0:
            self._owe_again(self._telling_in(response.id), known=True)

    def _told(self, response_id: str) -> None:
        for telling in self._telling_in(response_id):
            self._tellings.remove(telling)
            self._commands.append(Told(telling.tasks))
            self._commands.append(AmendMessage(telling.message, "\n".join(map(task_line, telling.tasks))))

    def _owe_again(self, tellings: Iterable[_Telling], *, known: bool = False) -> None:
        """Tell it again; ``known`` where the model has the announcement and may tell it of its own accord."""
        for telling in tellings:
            self._tellings.remove(telling)
            self.owed[:0] = [replace(task, interrupted=True) for task in telling.tasks] if known else telling.tasks
            self._commands.append(AmendMessage(telling.message, ""))

    def _settle(self) -> list[Command]:
        """Let time pass, do what is now possible, and return all commands."""
        self._expire()
        if not (self.user_speaking and self._decides):
            for result in self._held_results:
                self._commands.append(result)
                self._reply_until = self._now + REPLY_WAIT_S
            self._held_results.clear()
        if self.owed and self._retry_at is None and not (self.user_speaking or self._deaf):
            free = self.free and self._gather_until is None
            due = self.owed if free else [task for task in self.owed if task.announce == "at_once"]
            # The response that begins next is the milestone's.
            if due and not self._mentions.under_way:
                self._announce(tuple(due[:MOST_RESULTS]))
        self._mention()
        times = (self._speaking_until, self._reply_until, self._retry_at, self._stalls_at, self._gather_until)
        wake = min((at for at in times if at is not None), default=None)
        if wake is None:
            wake = self._mentions.wake_at(self._now)
        if (self.owed or self._mentions.waiting) and wake is not None:
            self._commands.append(WakeAt(wake))
        commands, self._commands = self._commands, []
        return commands

    def _expire(self) -> None:
        if self._speaking_until is not None and self._now >= self._speaking_until:
            self.user_speaking, self._speaking_until = False, None
        if self._reply_until is not None and self._now >= self._reply_until:
            self._reply_until = None
            self._mentions.clear()
        if self._retry_at is not None and self._now >= self._retry_at:
            self._retry_at = None
        if self._gather_until is not None and (self._now >= self._gather_until or not self._tasks):
            self._gather_until = None
        if not self.playback.active:
            self._stalls_at = None
        elif self._commands or self._stalls_at is None:
            wait = SILENT_S if self._generating else STALL_S
            self._stalls_at = self._now + self.playback.remaining_s + wait
        elif self._now >= self._stalls_at:
            self._generating, self._stalls_at = None, None
            self._nobody_listens()
        if len(self._spoken) > 8:
            live = {response.id for response in self.playback.playing}
            self._spoken = {key: value for key, value in self._spoken.items() if key in live}

    def _nobody_listens(self) -> None:
        """Give up waiting for the player; while a result waits to be played, no other is announced."""
        response_ids = [response.id for response in self.playback.active]
        self.playback.abandon()
        for response_id in response_ids:
            if self.playback.get(response_id).stalled:
                self._deaf = self._deaf or bool(self._telling_in(response_id))
            else:
                self._told(response_id)

    def _announce(self, tasks: tuple[TaskFinished, ...]) -> None:
        self._gather_until = None
        told = set(map(id, tasks))
        self.owed = [task for task in self.owed if id(task) not in told]
        text = announcement(tasks)
        message: Message = {"role": "user", "content": [text_block(text, "results")]}
        self._tellings.append(_Telling(tasks, message))
        self._reply_until = self._now + REPLY_WAIT_S
        self._commands += [AppendMessage(message), Announce(text, tasks)]

    def _mention(self) -> None:
        """Tell how far tasks are."""
        if self._held_results:
            return  # The acknowledgement of the task may be among them.
        if silent := self._mentions.silent():
            self._commands.append(Mention(silent, aloud=False))
        busy = bool(self.owed or self._tellings or self._deaf) or not self.free
        if not busy and (notes := self._mentions.aloud(self._now)):
            self._reply_until = self._now + REPLY_WAIT_S
            self._commands.append(Mention(notes, aloud=True))
