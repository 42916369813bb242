"""A text model that follows a script: for tests, demonstrations and tutorials. Strict in both directions.

    model = ScriptedTextModel(
        Answer(calls=[("research", {"topic": "solar power"})], expects="research solar power"),
        Answer("Started."),
        Answer("It is done: the sun shines.", expects="tool research"),
    )
    Agent(model, tools=[research])("Please research solar power.")
    model.check()          # fails if answers are left over

A call that the script does not expect raises `ScriptError` and names the answer it stands at. Nothing is timed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ScriptError
from ..messages import Messages, ToolSpec
from ..tools.text import text_of
from .text import StreamEvent

__all__ = ["Answer", "ScriptedTextModel"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One message of the model.

    Attributes:
        text: What it says.
        calls: Tools that it calls: name and arguments; a str as arguments is sent as it stands.
        expects: What has to be in the last message that it is given, anywhere; "" for anything.
        error: Raised after the text, instead of the message's end.
        stop_reason: Why it stops; None for what fits.
    """

    text: str = ""
    calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    expects: str = ""
    error: Exception | None = None
    stop_reason: str | None = None


class ScriptedTextModel:
    """A `TextModel` that gives these answers, one for each call; a str is an `Answer` with that text.

    Attributes:
        requests: What it was given, call by call: messages, tool specifications, system prompt.
    """

    def __init__(self, *answers: Answer | str) -> None:
        self._answers = [Answer(answer) if isinstance(answer, str) else answer for answer in answers]
        for answer in self._answers:
            if not isinstance(answer, Answer):
                raise TypeError(f"an answer of ScriptedTextModel is a str or an Answer, not {answer!r:.100}")
        self.requests: list[tuple[Messages, list[ToolSpec] | None, str | None]] = []
        self._calls = 0

    def check(self) -> None:
        """Raise `ScriptError` if answers are left over."""
        left = self._answers[len(self.requests) :]
        if left:
            raise ScriptError(
                f"{len(left)} of {len(self._answers)} answers were never asked for; next: {left[0]!r:.200}"
            )

    async def stream(
        self,
        messages: Messages,
        tool_specs: list[ToolSpec] | None = None,
        system_prompt: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[StreamEvent]:
        number = len(self.requests)
        if number >= len(self._answers):
            raise ScriptError(f"call {number + 1} of the model, but its script has {len(self._answers)} answers")
        answer = self._answers[number]
        last = json.dumps(messages[-1:], default=text_of, ensure_ascii=False)
        if answer.expects not in last and json.dumps(answer.expects, ensure_ascii=False)[1:-1] not in last:
            raise ScriptError(
                f"answer {number + 1} expects {answer.expects!r} in the last message, which is {last:.500}"
            )
        self.requests.append((list(messages), tool_specs, system_prompt))
        yield {"messageStart": {"role": "assistant"}}
        index = 0
        if answer.text:
            for word in answer.text.splitlines(keepends=True):
                yield {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"text": word}}}
            yield {"contentBlockStop": {"contentBlockIndex": index}}
            index += 1
        if answer.error is not None:
            raise answer.error
        for name, arguments in answer.calls:
            self._calls += 1
            use = {"toolUseId": f"call_{self._calls}", "name": name}
            text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            yield {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": use}}}
            yield {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"toolUse": {"input": text}}}}
            yield {"contentBlockStop": {"contentBlockIndex": index}}
            index += 1
        yield {"messageStop": {"stopReason": answer.stop_reason or ("tool_use" if answer.calls else "end_turn")}}
