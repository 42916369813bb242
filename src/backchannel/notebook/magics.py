"""The magics ``%%async_tool``, ``%talk`` and ``%tasks``. Each returns at once."""

from __future__ import annotations

import os
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from ..errors import BackchannelError, SessionConflictError, ToolDefinitionError
from ..tasks import AsyncTool, Task, async_tool
from ..tools import AgentTool
from .cell_tool import find_tool
from .doctor import notices
from .figures import watch_figures, watch_no_more
from .hub import Hub
from .ledger_place import LEDGER_VARIABLE
from .magic_line import MagicLine, seconds
from .tool_line import ToolLine
from .voice import Voice

__all__ = ["BackchannelMagics", "load", "unload"]

_loaded: dict[int, BackchannelMagics] = {}


_TALK = MagicLine("%talk")
_TALK.add_argument("agent", nargs="?")
_TALK.add_argument("--model")
_TALK.add_argument("--mute-after", type=seconds(least=0))
_TALK.add_argument("--stop", action="store_true")
_TASKS = MagicLine("%tasks")
_TASKS.add_argument("words", nargs="*")
_TASKS.add_argument("--ledger")


def load(shell: Any) -> Hub:
    """Begin to serve a shell, anew if it was served already; returns what belongs to its notebook."""
    unload(shell)
    hub = Hub(shell)
    magics = BackchannelMagics(shell, hub)
    hub.open()
    shell.register_magics(magics)
    shell.display_formatter.ipython_display_formatter.for_type(Task, magics.show_task)
    shell.events.register("post_run_cell", magics.look_for_tools)
    watch_figures(shell.events)
    _loaded[id(shell)] = magics
    _keep_from_the_start(hub)
    return hub


def _keep_from_the_start(hub: Hub) -> None:
    place = os.environ.get(LEDGER_VARIABLE, "")
    if not place or hub.ledger:
        return
    try:
        hub.keep(place)
    except (BackchannelError, OSError) as error:
        # The notebook must work without.
        hint = ". A folder has a ledger for each notebook" if isinstance(error, SessionConflictError) else ""
        said = f"{str(error).rstrip('.')}{hint}."
        print(f"Note: the tasks of this notebook are not kept in {LEDGER_VARIABLE}={place}: {said}")  # noqa: T201


def unload(shell: Any) -> None:
    """Stop to serve a shell: conversations end, outputs keep what they last showed, tasks go on."""
    magics = _loaded.pop(id(shell), None)
    if magics is None:
        return
    shell.events.unregister("post_run_cell", magics.look_for_tools)
    watch_no_more(shell.events)
    shell.display_formatter.ipython_display_formatter.pop(Task, None)
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    magics.hub.close()


@magics_class
class BackchannelMagics(Magics):
    """The magics of one shell."""

    def __init__(self, shell: Any, hub: Hub) -> None:
        super().__init__(shell)
        self._shell = shell
        self.hub = hub
        self._seen: dict[str, AgentTool] = {}

    @cell_magic
    def async_tool(self, line: str, cell: str) -> None:
        """Turn the cell's function into a tool that runs in the background. Its runs are shown under the cell.

        How it runs:
        --timeout SECONDS      after which a run has failed, all attempts together
        --retries N            how often it is run again after an error
        --retry-on ERRORS      after which errors, as in OSError,requests.Timeout; by default after any
        --backoff SECONDS      longest pause before the first further attempt, doubled each time (1)
        --limit N              how many runs of this tool may go on at a time; more of them wait
        --workers N            the same, in threads of its own, however busy those of other tools are
        --priority N           higher starts first (0)
        --runner WHERE         thread, coroutine, process, dask, the address of a Dask scheduler, or a variable that
                               holds a Dask client or an executor
        --manager NAME         a variable that holds an AsyncToolManager

        What a call does:
        --on-duplicate WHAT    while the same call is under way: start_another (default), reuse, refuse or replace
        --after TASKS          numbers, or variables that hold tasks, which must be done first, as in 3,load
        --takes-results        a model may give the result of another task as an argument
        --deferred             the value comes from elsewhere later: return Deferred()
        --resume FUNCTION      after a restart of the kernel makes a new Deferred of the handle of the old one
        --grace SECONDS        how long a model's call waits for a quick result before it is acknowledged

        What is told:
        --announce WHEN        when a conversation tells a result: when_free (default), at_once or never
        --milestones WHEN      when the voice says how far a run is: quarters, or every so many seconds
        --summarize FUNCTION   makes of the result what a model and the board are told of it
        --result-as NAME       a variable of the notebook that gets the result of each run that is done

        What a model sees:
        --name NAME            what it calls the tool; by default the function's name
        --confirm [QUESTION]   its calls wait for your yes, in the widget or by voice, as in "Delete {path}?"
        --context [PARAMETER]  the function's parameter that gets the ToolContext (tool_context)
        """
        try:
            tool = self._declare(line, cell)
        except UsageError:
            # The old tool works on, and so do its rows.
            board = self.hub.board_in(self.hub.cell())
            if board is not None:
                board.show()
            raise
        self.hub.declare(tool, self.hub.cell() or f"tool:{tool.tool_name}").show()

    def _declare(self, line: str, cell: str) -> AsyncTool:
        """Run the cell and make its function a tool; on a failure nothing has changed."""
        said = ToolLine(line)
        variable = said.result_as
        try:
            found = find_tool(self._shell.transform_cell(cell))
        except ToolDefinitionError as error:
            raise UsageError(str(error)) from None
        except SyntaxError:
            # Let the shell show where: it fails in the same place.
            found = None
        if found is not None and variable == found.name:
            raise UsageError(f"%%async_tool: --result-as {variable} would take the place of the function itself.")
        names = self._shell.user_ns
        before = names.get(found.name) if found is not None else None
        outcome = self._shell.run_cell(cell, store_history=False)
        if found is None:
            raise UsageError("%%async_tool: the cell is not Python; no tool was made or changed.")
        if not outcome.success:
            _restore(names, found.name, before)
            raise UsageError(f"%%async_tool: the cell failed; {_kept(before)}")
        try:
            tool, notes = self._tool(names[found.name], said)
        except UsageError:
            _restore(names, found.name, before)
            raise
        except (BackchannelError, ValueError, TypeError) as error:
            _restore(names, found.name, before)
            raise UsageError(f"%%async_tool: {str(error).rstrip('.')}; {_kept(before)}") from None
        names[found.name] = self._seen[tool.tool_name] = tool
        self.hub.name_results(tool.tool_name, variable)
        for notice in (*found.notices, *notes):
            print(f"Note: {notice}")  # noqa: T201
        return tool

    @line_magic
    def talk(self, line: str) -> None:
        """Show the microphone: talk to an agent. The same conversation is shown again when there is one.

        AGENT                 a BidiAgent; by default one with all tools of the notebook
        --model NAME          the model of that; by default BACKCHANNEL_MODEL, else the embedded one
        --mute-after SECONDS  how long nobody may speak until the microphone is muted (600); 0 never mutes it
        --stop                end the conversation
        """
        options = _TALK.read(line)
        agent = None if options.agent is None else self._agent(options.agent)
        voice = self._voice(agent)
        if options.stop:
            if voice is None:
                raise UsageError("%talk --stop: there is no conversation.")
            self._end(voice)
            return
        if voice is not None and options.model is not None:
            self._end(voice)
            voice = None
        if voice is None:
            try:
                voice = self._new_voice(agent, options.model)
            except (BackchannelError, ValueError, TypeError, ImportError) as error:
                raise UsageError(f"%talk: {error}") from None
            self.hub.voices.append(voice)
        if options.mute_after is not None:
            voice.mute_after(options.mute_after)
        voice.show()
        tools = [tool for tool in voice.agent.tool_registry.tools() if isinstance(tool, AsyncTool)]
        board = self.hub.adopt(tools, self.hub.cell() or "talk")
        if board is not None:
            board.show()
        if voice.agent.profile.session_limit_s is None:
            # A provider's session costs and ends: that one begins with the first word.
            voice.begin()

    @line_magic
    def tasks(self, line: str) -> None:
        """Show all tasks.

        cancel NUMBER ...  stop some, or all: %tasks cancel 1, %tasks cancel all
        run NUMBER ...     run some once more that ended without a result: %tasks run 3
        --ledger PLACE     from now on keep the tasks in a file, and show those of earlier kernels that it has. A
                           folder has a file for each notebook; s3://BUCKET/KEY is a place in S3. The same for all
                           notebooks from their start: the environment variable BACKCHANNEL_LEDGER
        """
        options = _TASKS.read(line)
        what, *names = options.words or [""]
        if what not in ("", "cancel", "run") or bool(what) != bool(names) or (what and options.ledger is not None):
            raise UsageError(
                "%tasks: say %tasks, %tasks cancel NUMBER, %tasks cancel all, %tasks run NUMBER, or "
                "%tasks --ledger FILE."
            )
        if what == "cancel":
            self._cancel_tasks(names)
        elif what == "run":
            self._run_tasks(names)
        else:
            if options.ledger is not None:
                self._keep(options.ledger)
            self.hub.board_of_everything().show()

    def _cancel_tasks(self, names: list[str]) -> None:
        running = [task for task in self.hub.tasks if not task.done()]
        chosen = [str(task.number) for task in running] if names == ["all"] else names
        unknown = [name for name in chosen if self.hub.task(name) is None]
        if unknown:
            raise UsageError(f"%tasks cancel: there is no task {', '.join(unknown)}. %tasks shows all.")
        for name in chosen:
            asked = self.hub.cancel(name)
            print(f"Task {name} was asked to stop." if asked else f"Task {name} has ended already.")  # noqa: T201
        if not chosen:
            print("No tasks are running.")  # noqa: T201

    def _run_tasks(self, names: list[str]) -> None:
        for name in names:
            try:
                again = self.hub.run_again(name)
            except (BackchannelError, ValueError, TypeError, ImportError) as error:
                raise UsageError(f"%tasks run: {error}") from None
            print(f"Task {name} runs again as task {again.number}.")  # noqa: T201

    def _keep(self, place: str) -> None:
        try:
            others = self.hub.keep(place)
        except (BackchannelError, OSError) as error:
            raise UsageError(f"%tasks --ledger: {error}") from None
        if others:
            print("Note: the tasks that were started before are not in the ledger.")  # noqa: T201

    def show_task(self, task: Task) -> None:
        """Display a task: its row, or where its row is."""
        board = self.hub.board_for_task(task)
        if board is None:
            where = f"Its row is under the cell that declared {task.tool_name}."
            print(f"Task {task.number}, {task.label}, {task.status}. {where}")  # noqa: T201
        else:
            board.show()

    def look_for_tools(self, *_: Any) -> None:
        """Offer tools that a plain cell defined to the conversations."""
        for tool in self._defined():
            if self._seen.get(tool.tool_name) is not tool and isinstance(tool, AsyncTool):
                self._seen[tool.tool_name] = tool
                self.hub.know(tool)
                for voice in self.hub.voices:
                    voice.offer(tool)

    def _defined(self) -> list[AgentTool]:
        names = dict(self._shell.user_ns)
        return [value for name, value in names.items() if isinstance(value, AgentTool) and not name.startswith("_")]

    def _tool(self, function: Any, said: ToolLine) -> tuple[AsyncTool, list[str]]:
        declared = isinstance(function, AsyncTool)
        options, notes = said.options(function.fn if declared else function, self._shell.user_ns)
        if not declared:
            function = async_tool(**options)(function)
        return (function.options(**options) if declared and options else function), notes

    def _agent(self, expression: str) -> Any:
        try:
            agent = self._shell.ev(expression)
        except Exception as error:  # noqa: BLE001 (whatever the user typed)
            raise UsageError(f"%talk: {expression} is not an agent: {type(error).__name__}: {error}") from None
        if not all(callable(getattr(agent, name, None)) for name in ("start", "send", "receive", "stop", "played")):
            raise UsageError(f"%talk: {expression} is a {type(agent).__name__}, not a BidiAgent.")
        return agent

    def _voice(self, agent: Any) -> Voice | None:
        for voice in self.hub.voices:
            if voice.agent is agent or (agent is None and voice.all_tools):
                return voice
        return None

    def _new_voice(self, agent: Any, model: str | None) -> Voice:
        all_tools = agent is None
        if agent is None:
            from ..agents.bidi import BidiAgent

            tools = {tool.tool_name: tool for tool in self._defined()} | self.hub.tools
            agent = BidiAgent(model=model or os.environ.get("BACKCHANNEL_MODEL") or "local", tools=list(tools.values()))
        elif model is not None:
            raise ValueError("--model is for %talk without an agent; this agent has its model.")
        hub = self.hub
        return Voice(
            agent,
            all_tools=all_tools,
            submit=hub.loop.call,
            routing=hub.routing,
            publish=hub.publish,
            cancel=hub.cancel,
            hold=hub.interval.shortened,
            notices=lambda lab: notices(hub, lab),
            clock=hub.clock,
        )

    def _end(self, voice: Voice) -> None:
        self.hub.voices.remove(voice)
        if voice.all_tools:
            # Its agent is ours, and nobody else has it: the next conversation goes on with its tasks.
            tools = voice.agent.tool_registry.tools()
            for manager in dict.fromkeys(tool.manager for tool in tools if isinstance(tool, AsyncTool)):
                manager.let_go(voice.agent)
        ended = self.hub.loop.submit(voice.stop())
        ended.add_done_callback(lambda _: voice.close())


def _restore(names: dict[str, Any], name: str, before: Any) -> None:
    if before is None:
        names.pop(name, None)
    else:
        names[name] = before


def _kept(before: Any) -> str:
    return f"the tool {before.tool_name!r} stays as it was." if isinstance(before, AsyncTool) else "no tool was made."
