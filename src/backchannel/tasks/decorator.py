"""async_tool: makes a function a tool whose runs go on in the background."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypedDict, Unpack, overload

from ..errors import (
    MissingExtraError,
    TaskRefusedError,
    ToolArgumentsError,
    ToolDefinitionError,
)
from ..events import ToolResultEvent
from ..messages import BACKGROUND_NOTICE, ToolSpec, ToolUse
from ..tools.confirmation import check_confirm
from ..tools.docstring import with_notice
from ..tools.hints import hints_of
from ..tools.schema import FunctionSchema
from ..tools.strands_agents import is_called_by_strands, make_known_to_strands
from ..tools.tool import AgentTool, FunctionTool, error_event, injected_names, result_of, surroundings
from .dependencies import REFERENCE, After, shown, split
from .duplicates import OnDuplicate, call_key
from .job import is_asynchronous
from .manager import AsyncToolManager, declared, default_manager
from .milestones import MilestoneRule
from .options import Announce, TaskOptions
from .results import answer_of
from .retry import RetryOn
from .task import Task

__all__ = ["AsyncTool", "ToolOptions", "async_tool"]

_NOTICE = (
    f"{BACKGROUND_NOTICE} A call is answered at once with a task number and without a result; the "
    "result follows later in a message of its own. Until it is there, do not make one up and do not repeat the call."
)

_TAKES_RESULTS = (
    f'An argument may be {{"{REFERENCE}": "<task id>"}}: the call then starts when that task is done, and gets '
    "its result."
)


class ToolOptions(TypedDict, total=False):
    """The options of `AsyncTool`, for `async_tool` and `AsyncTool.options`."""

    name: str | None
    description: str | None
    input_schema: Mapping[str, Any] | None
    context: bool | str
    confirm: bool | str
    timeout: float | None
    announce: Announce
    grace_s: float | None
    retries: int
    retry_on: RetryOn
    backoff_s: float
    priority: int
    limit: int | None
    on_duplicate: OnDuplicate
    deferred: bool
    summarize: Callable[[Any], Any] | None
    milestones: MilestoneRule
    takes_results: bool
    runner: Any
    after: After | None
    resume: Callable[[Any], Any] | None
    manager: AsyncToolManager | None


class AsyncTool(AgentTool):
    """A function whose calls are background tasks.

    Called by hand it checks the arguments, starts the task and returns it; ``fn`` is the plain function.

    Args:
        function: Plain function (run in a thread), coroutine function or generator. Text that a generator yields
            goes to the task's log; a `Progress`, or a dict of ``done`` and ``total`` or ``fraction``, and ``message``,
            to its bar. What it returns, or else its last value that is no report, is the result.
        manager: Runs the tasks; None for the default manager at the time of the call.
        name, description, input_schema, context, confirm: As for `backchannel.tools.FunctionTool`. A call by hand
            is not asked about.
        timeout: Longest run, seconds, from the first start of the function, all attempts together.
        announce: When a conversation tells a result: when nobody speaks, at once, or never.
        grace_s: How long a model's call waits for a quick result, seconds; None for the manager's.
        retries: How often the function is run again after an error.
        retry_on: After which errors: classes, or names of classes.
        backoff_s: Longest pause before the first further attempt, seconds; doubled each time, up to a minute. The pause
            is drawn by lot between 0 and that.
        priority: Higher starts first.
        limit: How many tasks of this tool may run at a time, in each runner that it is given.
        on_duplicate: What a call does while a task with equal arguments has not ended: ``"start_another"``,
            ``"reuse"`` that one, ``"refuse"``, or ``"replace"`` (cancel that one).
        deferred: The value comes from elsewhere after the function has returned: see `Deferred`.
        summarize: Makes of the result what a model and the board are told of it; the value stays as it is. Otherwise a
            bounded text by type.
        milestones: When a voice says how far a run is: at ``"quarters"``, every so many seconds, or never.
        takes_results: Whether a model may give the result of another task as an argument: ``{"$task": id}``.
        runner: Where it runs: ``"thread"``, ``"process"``, an executor, a Dask client or its address; None for the
            manager's.
        after: Tasks, their ids or numbers, that must be done before.
        resume: After a restart, makes of the ``handle`` of a `Deferred` that its ledger has a new `Deferred`, whose
            poll goes on asking for the value. Without it such tasks are lost.

    Raises:
        ToolDefinitionError: If the function cannot become a tool, or an option cannot be used; says why.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        manager: AsyncToolManager | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        input_schema: Mapping[str, Any] | None = None,
        context: bool | str = False,
        confirm: bool | str = False,
        timeout: float | None = None,
        announce: Announce = "when_free",
        grace_s: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = (Exception,),
        backoff_s: float = 1.0,
        priority: int = 0,
        limit: int | None = None,
        on_duplicate: OnDuplicate = "start_another",
        deferred: bool = False,
        summarize: Callable[[Any], Any] | None = None,
        milestones: MilestoneRule = None,
        takes_results: bool = False,
        runner: Any = None,
        after: After | None = None,
        resume: Callable[[Any], Any] | None = None,
        _is_variant: bool = False,
    ) -> None:
        super().__init__()
        make_known_to_strands(type(self))
        self.fn: Callable[..., Any]
        if isinstance(function, (AsyncTool, FunctionTool)):
            confirm = function.confirm if confirm is False else confirm
            function = function.fn
        if isinstance(function, classmethod):
            raise ToolDefinitionError("@classmethod must stand above @async_tool: the tool is the class's")
        if not callable(function):
            raise ToolDefinitionError(f"{function!r:.100} cannot become a tool: it is not a function")
        self.schema = FunctionSchema(
            function, name=name, description=description, input_schema=input_schema, injected=injected_names(context)
        )
        try:
            self.task_options = TaskOptions.of(
                announce=announce,
                timeout=timeout,
                retries=retries,
                retry_on=retry_on,
                backoff_s=backoff_s,
                priority=priority,
                limit=limit,
                on_duplicate=on_duplicate,
                deferred=deferred,
                runner=runner,
                summarize=summarize,
                milestones=milestones,
                returns=None if deferred else _declared(function),
            )
        except ValueError as error:
            raise ToolDefinitionError(f"tool {self.tool_name!r}: {error}") from None
        if grace_s is not None and not (isinstance(grace_s, (int, float)) and grace_s >= 0):
            raise ToolDefinitionError(f"tool {self.tool_name!r}: grace_s={grace_s!r} must be 0 seconds or more")
        self.fn = function
        self.grace_s = grace_s
        if resume is not None and not callable(resume):
            raise ToolDefinitionError(
                f"tool {self.tool_name!r}: resume={resume!r:.100} must be a function from a handle to a Deferred"
            )
        self.takes_results = takes_results
        self.resume = resume
        self._after = after
        self._manager = manager
        self._context = context
        self._options: dict[str, Any] = {
            "name": name,
            "description": description,
            "input_schema": input_schema,
            "context": context,
            "confirm": confirm,
            "timeout": timeout,
            "announce": announce,
            "grace_s": grace_s,
            "retries": retries,
            "retry_on": retry_on,
            "backoff_s": backoff_s,
            "priority": priority,
            "limit": limit,
            "on_duplicate": on_duplicate,
            "deferred": deferred,
            "summarize": summarize,
            "milestones": milestones,
            "takes_results": takes_results,
            "runner": runner,
            "after": after,
            "resume": resume,
            "manager": manager,
        }
        self._asynchronous = is_asynchronous(function)
        self._defaults = {
            parameter.name: parameter.default
            for parameter in self.schema.signature.parameters.values()
            if parameter.default is not parameter.empty and parameter.name not in injected_names(context)
        }
        # Arguments are given by name; only positional-only parameters need a detour.
        self._body = function if self.schema.by_name else functools.partial(_call, self.schema, function)
        functools.update_wrapper(self, function)
        # For frameworks that make a tool of their own of it.
        self.__doc__ = with_notice(function.__doc__, _NOTICE)
        self.confirm = check_confirm(confirm, self.schema)
        if manager is not None:
            manager.declare(self, replace=not _is_variant)
        elif not _is_variant:
            declared(self)

    @property
    def manager(self) -> AsyncToolManager:
        """What runs the tasks."""
        return self._manager if self._manager is not None else default_manager()

    @property
    def timeout(self) -> float | None:
        """Longest run, seconds, or None."""
        return self.task_options.timeout

    @property
    def announce(self) -> Announce:
        """When a conversation tells a result."""
        return self.task_options.announce

    def __call__(self, *args: Any, **kwargs: Any) -> Task:
        if args and self.schema.of_class and isinstance(args[0], type):
            # From Python 3.13 on a classmethod does not ask what is in it to bind itself.
            return self.__get__(args[0])(*args[1:], **kwargs)
        return self._start(self.schema.named(args, kwargs), by_text=False)[0]

    def arguments_to_confirm(self, arguments: Any) -> dict[str, Any]:
        """Return the arguments of a model's call, checked, as a person is shown them: a task's result by its name.

        Raises:
            ToolArgumentsError: If they do not fit the tool, or name a task that there is not.
        """
        given, references = split(arguments, self._known, by_text=self.takes_results)
        checked = self._schema_without(references).check(given)
        return {**checked, **{name: f"result of task {task.number}, {task.label}" for name, task in references.items()}}

    def _known(self, which: Task | str | int) -> Task:
        found = which if isinstance(which, Task) else self.manager.task(which)
        if found is None:
            raise ToolArgumentsError(f"There is no task {which!r:.60} whose result could be an argument.")
        return found

    def start_again(self, arguments: Mapping[str, Any], manager: AsyncToolManager, owner: Any) -> Task:
        """Start a run with the arguments of an earlier one, at its manager; for `AsyncToolManager.run_again`."""
        return self._start(arguments, by_text=False, owner=owner, manager=manager)[0]

    def options(self, **changes: Unpack[ToolOptions]) -> AsyncTool:
        """Return the same tool with other options, as in ``train.options(priority=5, after=clean)("sales")``."""
        return AsyncTool(self.fn, **{**self._options, **changes}, _is_variant=True)

    def __get__(self, instance: object, owner: type | None = None) -> AsyncTool:
        if instance is None:
            return self
        return AsyncTool(self.fn.__get__(instance, owner), **self._options, _is_variant=True)

    def __repr__(self) -> str:
        return f"<async tool {self.tool_name}{self.schema.signature}>"

    @property
    def tool_name(self) -> str:
        return self.schema.name

    @property
    def tool_spec(self) -> ToolSpec:
        spec = self.schema.spec
        notice = f"{_NOTICE} {_TAKES_RESULTS}" if self.takes_results else _NOTICE
        return {**spec, "description": f"{spec['description']}\n\n{notice}"}

    @property
    def tool_type(self) -> str:
        return "async_function"

    async def stream(self, tool_use: ToolUse, invocation_state: dict[str, Any], **kwargs: Any) -> AsyncIterator[Any]:
        event = await self._answer(tool_use, invocation_state)
        yield event.tool_result if is_called_by_strands(invocation_state) else event

    async def _answer(self, tool_use: ToolUse, invocation_state: dict[str, Any]) -> ToolResultEvent:
        call_id = tool_use["toolUseId"]
        try:
            task, reused = self._start(
                tool_use["input"],
                by_text=self.takes_results,
                injected=self.schema.injections(surroundings(self._context, tool_use, invocation_state)),
                owner=invocation_state.get("agent"),
                call_id=call_id,
                acknowledging=True,
            )
        except (ToolArgumentsError, TaskRefusedError, ToolDefinitionError, MissingExtraError) as error:
            return error_event(call_id, error)
        if reused:
            # Its result is owed by the call that started it, whatever becomes of it meanwhile.
            return ToolResultEvent(result_of(call_id, _already(task)), task=task.started_fact())
        grace_s = self.manager.grace_s if self.grace_s is None else self.grace_s
        waited = False
        try:
            if grace_s > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace_s):
                        await task.ended()
            waited = True
        finally:
            owed = task.acknowledge(answers=waited)
        if owed:
            return ToolResultEvent(result_of(call_id, str(task)), task=task.started_fact())
        if task.status == "done":
            return ToolResultEvent(result_of(call_id, answer_of(task)))
        event = error_event(call_id, f"Error: {task.summary()}")
        event.exception = task.error
        return event

    def _start(
        self,
        arguments: Any,
        *,
        by_text: bool,
        owner: Any = None,
        call_id: str | None = None,
        manager: AsyncToolManager | None = None,
        **options: Any,
    ) -> tuple[Task, bool]:
        manager = self.manager if manager is None else manager

        def lookup(which: Task | str | int) -> Task:
            found = which if isinstance(which, Task) else manager.task(which)
            if found is None or not found.concerns(owner):
                raise ToolArgumentsError(f"There is no task {which!r:.60} whose result could be an argument.")
            return found

        given, references = split(arguments, lookup, by_text=by_text)
        checked = self._schema_without(references).check(given)
        key = None
        if call_id is not None or self.task_options.on_duplicate != "start_another":
            complete = {**self._defaults, **shown(checked, references)}
            key = call_key(self.schema.name, complete)
        return manager.launch(
            self.schema.name,
            self._body,
            checked,
            self.task_options,
            asynchronous=self._asynchronous,
            owner=owner,
            call_id=call_id,
            after=self._after,
            references=references,
            check=self.schema.check if references else None,
            key=key,
            **options,
        )

    def _schema_without(self, references: Mapping[str, Task]) -> FunctionSchema:
        """Return what checks the arguments that are there, while others are results to come."""
        known = self.schema.input_schema.get("properties", {})
        to_come = [name for name in references if name in known]
        if not to_come:
            return self.schema
        schema = self.schema.input_schema
        left = {
            **schema,
            "properties": {name: part for name, part in known.items() if name not in to_come},
            "required": [name for name in schema.get("required", ()) if name not in to_come],
        }
        given = self._options["input_schema"]
        return FunctionSchema(
            self.fn,
            name=self.schema.name,
            input_schema=None if given is None else left,
            injected={*injected_names(self._context), *to_come},
        )


def _already(task: Task) -> str:
    return (
        f"Nothing new was started: {task.label} is already under way as task {task.number} (id {task.id}). Its result "
        "comes by itself, in a message of its own that names that task. Do not make it up; go on with the conversation."
    )


def _declared(function: Callable[..., Any]) -> Any:
    """Return what results are declared to be; None for anything, also where it says that there is none."""
    return hints_of(function).get("return")


def _call(schema: FunctionSchema, function: Callable[..., Any], /, **arguments: Any) -> Any:
    return schema.call(function, arguments)


@overload
def async_tool(function: Callable[..., Any], /) -> AsyncTool: ...
@overload
def async_tool(
    manager: AsyncToolManager | None = None, /, **options: Unpack[ToolOptions]
) -> Callable[[Callable[..., Any]], AsyncTool]: ...
def async_tool(target: Any = None, /, **options: Any) -> Any:
    """Make a function a background tool.

    ``@async_tool``, ``@async_tool(manager)``, or with the options of `AsyncTool`, such as ``timeout=600``.
    """
    if target is None or isinstance(target, AsyncToolManager):
        if target is not None:
            options["manager"] = target
        return lambda function: AsyncTool(function, **options)
    return AsyncTool(target, **options)
