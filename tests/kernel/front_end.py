"""FrontEnd: a kernel, and what JupyterLab says to it, without a browser."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

Message = dict[str, Any]
PATIENCE_S = 30.0


class Cell:
    """One run of a cell: what it said, and whether it is over."""

    def __init__(self, front_end: FrontEnd, msg_id: str) -> None:
        self.msg_id = msg_id
        self._front_end = front_end

    @property
    def messages(self) -> list[Message]:
        """Everything on iopub whose parent is this run."""
        return [item for item in self._front_end.log if item["parent_header"].get("msg_id") == self.msg_id]

    @property
    def over(self) -> bool:
        return any(
            item["msg_type"] == "status" and item["content"]["execution_state"] == "idle" for item in self.messages
        )

    @property
    def text(self) -> str:
        """What it printed."""
        return self._stream("stdout")

    @property
    def error(self) -> str:
        """What it raised; IPython writes a UsageError to stderr."""
        raised = [item["content"] for item in self.messages if item["msg_type"] == "error"]
        return "".join(f"{item['ename']}: {item['evalue']}\n" for item in raised) + self._stream("stderr")

    def _stream(self, name: str) -> str:
        streams = [item["content"] for item in self.messages if item["msg_type"] == "stream"]
        return "".join(item["text"] for item in streams if item["name"] == name)

    def wait(self) -> Cell:
        """Return when it is over."""
        self._front_end.until(lambda: self.over, "the cell to end")
        return self


class FrontEnd:
    """Starts a kernel; runs cells, answers for pages, and keeps every message of iopub in ``log``, in its order."""

    def __init__(self, extra_arguments: tuple[str, ...] = ()) -> None:
        self.log: list[Message] = []
        self.manager = KernelManager()
        self.manager.start_kernel(extra_arguments=list(extra_arguments))
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)

    def close(self) -> None:
        """End the kernel as JupyterLab does; safe to call twice."""
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=False)

    def start(self, code: str, *, cell: str = "cell-1", subshell: str | None = None) -> Cell:
        """Begin to run a cell."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": False}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell})
        self._send(message, subshell)
        return Cell(self, message["header"]["msg_id"])

    def run(self, code: str, *, cell: str = "cell-1") -> Cell:
        """Run a cell to its end."""
        return self.start(code, cell=cell).wait()

    def send(
        self, comm_id: str, content: object, buffers: list[bytes] | None = None, *, subshell: str | None = None
    ) -> str:
        """Send a widget's custom message; returns its id."""
        data = {"method": "custom", "content": content}
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self._send(message, subshell, buffers)
        return str(message["header"]["msg_id"])

    def create_subshell(self) -> str:
        request = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(request)
        while True:
            reply = self.client.control_channel.get_msg(timeout=PATIENCE_S)
            if reply["parent_header"].get("msg_id") == request["header"]["msg_id"]:
                return str(reply["content"]["subshell_id"])

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def until(self, done: Callable[[], Any], what: str) -> Any:
        """Read iopub until ``done`` returns something true, which is returned."""
        give_up = time.monotonic() + PATIENCE_S
        while not (outcome := done()):
            try:
                message = self.client.get_iopub_msg(timeout=max(0.01, give_up - time.monotonic()))
            except queue.Empty:
                kinds = [item["msg_type"] for item in self.log[-12:]]
                raise AssertionError(f"waited {PATIENCE_S:.0f} s for {what}; the last messages: {kinds}") from None
            self.log.append(message)
        return outcome

    def widget(self, bundle: str) -> str:
        """The comm id of the widget that was opened last, by a word of its Python class name."""

        def find() -> str:
            for item in reversed(self.log):
                if item["msg_type"] == "comm_open":
                    state = item["content"]["data"]["state"]
                    if bundle in state.get("_anywidget_id", ""):
                        return str(item["content"]["comm_id"])
            return ""

        return str(self.until(find, f"a {bundle} to be opened"))

    def told(self, comm_id: str, kind: str, **fields: Any) -> Message:
        """Wait for a message of a widget to its pages: of this kind, with these fields."""

        def find() -> Message | None:
            for item in self.log:
                if item["msg_type"] != "comm_msg" or item["content"]["comm_id"] != comm_id:
                    continue
                content = item["content"]["data"].get("content") or {}
                if content.get("k") == kind and all(content.get(name) == value for name, value in fields.items()):
                    return content | {
                        "_buffers": [bytes(part) for part in item["buffers"]],
                        "_at": self.log.index(item),
                    }
            return None

        found: Message = self.until(find, f"{kind} {fields}")
        return found

    def _send(self, message: Message, subshell: str | None, buffers: list[bytes] | None = None) -> None:
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        channel = self.client.shell_channel
        channel.session.send(channel.socket, message, buffers=buffers or [])
