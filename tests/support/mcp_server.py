"""An MCP server with tools for tests; run as a program it speaks on its standard input and output."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, TextContent

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c63f8cfc0f01f0005000201a5f645400000000049454e44ae426082"
)


def make_server(marks: Path) -> MCPServer:
    """Return a server; ``marks`` is a directory in which its tools leave files for a test to see."""
    server = MCPServer("tests", log_level="CRITICAL")

    @server.tool()
    def add(a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b

    @server.tool(name="files.read/all")
    def files(path: str) -> list[str]:
        """Read files."""
        return [path, "größe 測試"]

    @server.tool()
    def table() -> dict[str, Any]:
        """Give a table."""
        return {"rows": [{"x": 1}, {"x": 2}]}

    @server.tool()
    def picture() -> Image:
        """Draw."""
        return Image(data=PIXEL, format="png")

    @server.tool()
    def mixed() -> CallToolResult:
        """Say one thing in words and another in data."""
        return CallToolResult(content=[TextContent(type="text", text="see the data")], structured_content={"n": 5})

    @server.tool()
    def fail() -> str:
        """Fail."""
        raise ToolError("no such thing")

    @server.tool()
    def secret(name: str) -> str:
        """Say what an environment variable is."""
        return os.environ.get(name, "nothing")

    @server.tool()
    def process() -> int:
        """Say the process."""
        return os.getpid()

    @server.tool()
    def crash() -> str:
        """End at once."""
        os._exit(3)

    @server.tool()
    async def count(steps: int, ctx: Context) -> str:
        """Count, and tell how far it is."""
        for step in range(1, steps + 1):
            await ctx.report_progress(step, steps, f"step {step}")
        return "counted"

    @server.tool()
    async def wait(ctx: Context) -> str:
        """Wait until it is cancelled."""
        await ctx.report_progress(0, None, "waiting")
        try:
            await asyncio.Event().wait()
        finally:
            (marks / "cancelled").write_text("yes")
        return "never"

    @server.tool()
    async def learn(name: str, ctx: Context) -> str:
        """Learn a tool."""

        def learned() -> str:
            return f"{name} was learned"

        server.add_tool(learned, name=name, description="What was learned.")
        await ctx.notify_tools_changed()
        await ctx.session.send_tool_list_changed()
        return "learned"

    return server


if __name__ == "__main__":
    make_server(Path(os.environ.get("MARKS", "."))).run()
