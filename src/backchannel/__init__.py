"""Talk to your notebook. The tools keep working in the background; the voice keeps talking.

%load_ext backchannel          in a notebook: then %%async_tool, %talk and %tasks

async with BidiAgent(tools=[train]) as agent:          anywhere
    await agent.send("Train on sales.")
    async for event in agent.receive(): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lazy import lazy_names
from ._version import __version__
from .agents import BidiAgent
from .errors import BackchannelError
from .hooks import HookProvider, HookRegistry
from .messages import ToolResult, ToolUse
from .models import BidiModel, BidiModelTimeoutError
from .tasks import AsyncTaskResult, AsyncToolManager, Task, async_tool, cancelled, progress, track
from .tools import AgentTool, ToolContext, tool

if TYPE_CHECKING:
    from .agents import AsyncAgent, FileSessionManager, S3SessionManager
    from .models import LocalModel, ScriptedModel

__all__ = [
    "AgentTool",
    "AsyncAgent",
    "AsyncTaskResult",
    "AsyncToolManager",
    "BackchannelError",
    "BidiAgent",
    "BidiModel",
    "BidiModelTimeoutError",
    "FileSessionManager",
    "HookProvider",
    "HookRegistry",
    "LocalModel",
    "S3SessionManager",
    "ScriptedModel",
    "Task",
    "ToolContext",
    "ToolResult",
    "ToolUse",
    "__version__",
    "async_tool",
    "cancelled",
    "progress",
    "tool",
    "track",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AsyncAgent": ".agents",
        "FileSessionManager": ".agents",
        "LocalModel": ".models",
        "S3SessionManager": ".agents",
        "ScriptedModel": ".models",
    },
)


def load_ipython_extension(ipython: Any) -> None:
    """Answer ``%load_ext backchannel``."""
    from .notebook import magics

    magics.load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Answer ``%unload_ext backchannel``."""
    from .notebook import magics

    magics.unload(ipython)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "backchannel.server_extension"}]
