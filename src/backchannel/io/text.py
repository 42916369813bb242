"""A conversation typed and read on a terminal (extra ``text``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import AgentStateError, MissingExtraError
from ..events import BidiOutputEvent, BidiTextInputEvent
from ..tools.text import text_of
from .ending import Ending
from .terminal import TerminalLines

__all__ = ["BidiTextIO"]

_LONGEST = 400
_SYMBOLS = {"done": "done", "failed": "failed", "cancelled": "cancelled", "timed_out": "timed out", "lost": "lost"}


class BidiTextIO:
    """Lines that are typed as an input, and what is said and done as an output.

    Ctrl-D ends the input, Ctrl-C raises KeyboardInterrupt. What a model or a tool wrote is printed as text: control
    characters in it are shown, not obeyed.

    Args:
        input_prompt: What stands before the line that is typed.
        stop_agent: Whether Ctrl-D also stops the agent, so that ``run`` ends.

    Raises:
        TypeError: If the prompt is not a str.
        MissingExtraError: If the package ``prompt_toolkit`` is not installed.
    """

    def __init__(self, input_prompt: str = "", *, stop_agent: bool = False) -> None:
        if not isinstance(input_prompt, str):
            raise TypeError(f"input_prompt must be a str, not {type(input_prompt).__name__}")
        try:
            import prompt_toolkit  # noqa: F401 - to fail here, not in the middle of a conversation
        except ImportError as error:
            raise MissingExtraError("BidiTextIO", "text") from error
        self._prompt = input_prompt
        self._stop_agent = stop_agent
        self._screen = _Screen()

    def input(self) -> TextInput:
        """Return the lines typed as an input of `BidiAgent.run`."""
        return TextInput(self._screen, self._prompt, self._stop_agent)

    def output(self) -> TextOutput:
        """Return the terminal as an output of `BidiAgent.run`."""
        return TextOutput(self._screen)


class _Screen:
    """What input and output share: the prompt, while one is shown, and the lines above it."""

    def __init__(self) -> None:
        self.lines = TerminalLines()
        self.application: Any = None
        self._preview = ""

    def toolbar(self) -> Any:
        """Return the line under the prompt, None for none."""
        return [("", self._preview)] if self._preview else None

    def line(self, text: str) -> None:
        self._hide()
        self.lines.line(text)

    def preview(self, text: str) -> None:
        if self.application is not None and self.lines.in_place:
            self._preview = self.lines.fitting(text)
            self.application.invalidate()
        else:
            self.lines.unfinished(text)

    def clear(self) -> None:
        self._hide()
        self.lines.clear()

    def prompting(self, application: Any) -> None:
        """A prompt is shown from now on, or with None no longer."""
        if application is not None:
            self.lines.clear()
        self.application, self._preview = application, ""

    def _hide(self) -> None:
        if self._preview:
            self._preview = ""
            if self.application is not None:
                self.application.invalidate()


class TextInput:
    """The lines that are typed. Empty ones are ignored."""

    def __init__(self, screen: _Screen, prompt: str, stop_agent: bool) -> None:
        self._screen = screen
        self._prompt = prompt
        self._ending = Ending(stop_agent)
        self._session: Any = None
        self._stopped = False

    async def start(self, agent: Any) -> None:
        """Get ready to prompt."""
        from prompt_toolkit import PromptSession

        self._stopped = False
        self._ending.start(agent)
        if self._session is None:
            self._session = PromptSession()

    async def stop(self) -> None:
        """Take the prompt away; whoever waits for a line gets StopAsyncIteration."""
        self._stopped = True
        self._leave()
        await self._ending.wait()

    async def __call__(self) -> BidiTextInputEvent:
        from prompt_toolkit.patch_stdout import patch_stdout

        if self._session is None:
            raise AgentStateError("the text input is not started; give it to BidiAgent.run, or await start(agent)")
        while not self._stopped:
            try:
                with patch_stdout():
                    line = await self._session.prompt_async(
                        self._prompt,
                        bottom_toolbar=self._screen.toolbar,
                        pre_run=self._entered,
                        set_exception_handler=False,
                    )
            except EOFError:
                if not self._stopped:
                    self._ending.begin()
                break
            finally:
                self._screen.prompting(None)
            text = line.encode("utf-8", "replace").decode("utf-8").strip()
            if text:
                return BidiTextInputEvent(text)
        raise StopAsyncIteration

    def _entered(self) -> None:
        self._screen.prompting(self._session.app)
        if self._stopped:
            self._leave()

    def _leave(self) -> None:
        application = self._screen.application
        future = None if application is None else application.future
        if future is not None and not future.done():
            application.exit(exception=EOFError())


class TextOutput:
    """What is said and done, line by line."""

    def __init__(self, screen: _Screen) -> None:
        self._screen = screen
        self._partial: dict[str, str] = {}
        self._statuses: dict[str, str] = {}

    async def start(self, agent: Any) -> None:
        """Begin with a conversation of which nothing is known."""
        self._partial.clear()
        self._statuses.clear()

    async def stop(self) -> None:
        """Take an unfinished line away."""
        self._screen.clear()

    async def __call__(self, event: BidiOutputEvent) -> None:
        match event.get("type"):
            case "bidi_transcript_stream":
                self._transcript(event)
            case "bidi_interruption":
                self._partial.clear()
                self._screen.line("interrupted")
            case "task_update":
                self._task(event["task"])
            case "tool_result":
                self._tool_result(event["tool_result"])
            case "approval_request":
                self._screen.line(f"Approval needed: {event['question']}")
                if not getattr(event, "whole", True):
                    for name, value in dict(event["tool_use"]["input"]).items():
                        self._screen.line(f"  {name}: {text_of(value, 20_000)}")
            case "approval_answer":
                word = "Approved" if event["approved"] else "Not approved"
                self._screen.line(f"{word} ({event['by']})" + (f": {event['reason']}" if event.get("reason") else ""))
            case "bidi_error":
                self._screen.line(f"Error: {event['message']}")
            case "bidi_connection_restart":
                self._screen.line(f"The connection is made anew: {event['message']}")
            case "bidi_connection_close":
                self._screen.line(f"The conversation has ended ({event['reason']}).")

    def _transcript(self, event: BidiOutputEvent) -> None:
        role, text = event["role"], event["text"]
        if event["is_final"]:
            self._partial.pop(role, None)
            if text.strip():
                self._screen.line(f"You: {text.strip()}" if role == "user" else text.strip())
            return
        if not text:
            return
        whole = event.get("current_transcript")
        before = self._partial.get(role, "")
        if not whole:
            # Some models send the whole piece again and again, others what is new of it.
            whole = text if text.startswith(before) else before + text
        self._partial[role] = whole
        self._screen.preview(f"Preview: {whole if self._screen.lines.in_place else text}")

    def _task(self, task: Mapping[str, Any]) -> None:
        name = f"task {task.get('number')}, {task.get('label') or task.get('tool')}"
        status = str(task.get("status"))
        if self._statuses.get(str(task.get("id"))) == status:
            fraction = task.get("fraction")
            if status == "running" and fraction is not None and self._screen.lines.in_place:
                self._screen.preview(f"[{name}: {100 * fraction:.0f} %]")
            return
        self._statuses[str(task.get("id"))] = status
        outcome = task.get("error") or task.get("text") or ""
        self._screen.line(f"[{name}: {_SYMBOLS.get(status, status)}]" + (f" {_short(str(outcome))}" if outcome else ""))

    def _tool_result(self, result: Mapping[str, Any]) -> None:
        if result.get("status") == "error":
            words = " ".join(str(block.get("text", "")) for block in result.get("content", []))
            self._screen.line(f"[tool failed] {_short(words)}")


def _short(text: str) -> str:
    text = " ".join(text.split(" "))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
