"""Agent base: what an agent of any kind has: a name, a history, tools, hooks, and state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from ..hooks import HookProvider, HookRegistry
from ..messages import AgentTool, Messages, check_messages
from ..tasks import AsyncToolManager
from ..tasks.task import NAMELESS
from ..tools import ToolDirectory, ToolExecutor, ToolRegistry, executor_of
from . import arguments as checked
from .approval import ApprovalCallback, Approvals
from .direct import ToolCaller
from .state import AgentState
from .task_tools import managers_of, offer_task_tools
from .window import ConversationManager

__all__ = ["AgentBase"]


class AgentBase:
    """What `BidiAgent` and `Agent` have in common; they say what the arguments mean."""

    def __init__(
        self,
        *,
        tools: Sequence[str | AgentTool | Callable[..., Any] | Any] | None,
        system_prompt: str | None,
        messages: Messages | None,
        record_direct_tool_call: bool,
        agent_id: str | None,
        name: str | None,
        description: str | None,
        hooks: Sequence[HookProvider] | None,
        state: AgentState | dict[str, Any] | None,
        session_manager: HookProvider | None,
        tool_executor: ToolExecutor | None,
        approve: ApprovalCallback | None,
        conversation_manager: ConversationManager | None,
        load_tools_from_directory: bool = False,
    ) -> None:
        self.agent_id = checked.identifier(NAMELESS if agent_id is None else agent_id)
        self.state = checked.state(state)
        self.system_prompt = checked.system_prompt(system_prompt)
        self.messages: Messages = [] if messages is None else check_messages(messages)
        self.name = name or "Backchannel"
        self.description = description
        self.record_direct_tool_call = record_direct_tool_call
        self.tool_executor: ToolExecutor = executor_of(tool_executor)
        self.conversation_manager = conversation_manager
        self.tool_registry = ToolRegistry()
        if tools is not None:
            self.tool_registry.process_tools(checked.tools(tools))
        self._directory = ToolDirectory(self.tool_registry) if load_tools_from_directory else None
        if self._directory is not None:
            self._directory.load()
        self.approvals = Approvals(cast("Any", self), approve)
        self._offer_task_tool()
        self.tool_registry.on_change(self._tools_changed)
        self._tool_caller = ToolCaller(cast("Any", self))
        self.hooks = HookRegistry()
        for hook in [*checked.hooks(hooks), *([session_manager] if session_manager is not None else [])]:
            self.hooks.add_hook(hook)
        # Tools written for Strands look here for answers to their questions; there are none.
        self._interrupt_state = SimpleNamespace(interrupts={}, context={}, activated=False)

    @property
    def tool(self) -> ToolCaller:
        """The tools as functions: ``agent.tool.calculator(expression="2+2")`` returns a `ToolResult`."""
        return self._tool_caller

    @property
    def tool_names(self) -> list[str]:
        """The names of all tools that the model may call."""
        return list(self.tool_registry.get_all_tools_config())

    def _managers(self) -> list[AsyncToolManager]:
        return managers_of(self.tool_registry)

    def _offer_task_tool(self) -> None:
        offer_task_tools(self.tool_registry, self)

    def _tools_changed(self) -> None:
        self._offer_task_tool()
