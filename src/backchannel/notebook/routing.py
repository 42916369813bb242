"""Routing: brings a widget's messages to us while a cell runs.

A front end's comm messages normally wait for the cell that runs in their shell. ipykernel reads all of them in a
thread of its own (the shell channel's) and only then hands them to a shell: there we take those of our widgets.
Where that thread is missing, or works otherwise than known, messages take the usual way: through the front end's
subshell where it has one, else behind the cell.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

__all__ = ["Receiver", "Route", "Routing"]

Receiver = Callable[[object, Sequence[Any]], None]
"""Takes content and buffers of a custom message; called on any thread, returns at once, never raises."""

Route = Literal["shell-channel", "subshell", "none"]

_log = logging.getLogger(__name__)
_INSTALL_S = 2.0
_HEADER, _CONTENT = 1, 4


class Routing:
    """Messages of watched comms go to their receivers.

    Attributes:
        route: ``shell-channel`` (never waits for a cell), ``subshell`` (waits only where the front end has no
            subshells), or ``none`` (waits for the cell).
        reason: Why it is not the first; "" if it is.
    """

    def __init__(self, kernel: Any) -> None:
        self.route: Route = "none"
        self.reason = "The widgets' messages were not routed yet."
        self._kernel = kernel
        self._receivers: dict[str, Receiver] = {}
        self._failed = False

    def install(self) -> None:
        """Begin; on any failure ``route`` and ``reason`` say what remains."""
        self.route, self.reason = self._without("")
        missing = _missing(self._kernel)
        if missing:
            self.route, self.reason = self._without(missing)
            return
        if self._register(self._on_frames):
            self.route, self.reason = "shell-channel", ""
        else:
            self.route, self.reason = self._without("its shell channel's thread did not answer")

    def uninstall(self) -> None:
        """Give the shell channel back to the kernel."""
        self._receivers.clear()
        if self.route == "shell-channel":
            self._register(self._kernel.shell_channel_thread_main)
        self.route, self.reason = "none", "The extension was unloaded."

    def watch(self, comm: Any, receiver: Receiver) -> None:
        """Give the messages of a comm to ``receiver``, and let the rest go where the front end sent it."""
        self._receivers[comm.comm_id] = receiver
        if hasattr(comm, "_reply_subshell_for"):
            # ipykernel 7.4 answers a comm in the shell that used it last, which a busy cell blocks.
            comm._reply_subshell_for = _keep

    def unwatch(self, comm_id: str) -> None:
        """Stop to take the messages of a comm."""
        self._receivers.pop(comm_id, None)

    def _without(self, why: str) -> tuple[Route, str]:
        said = f"This kernel lets voice and buttons wait for a busy cell{': ' + why if why else ''}."
        if getattr(self._kernel, "shell_channel_thread", None) is not None:
            return "subshell", f"Where the front end has no subshells: {said}"
        return "none", said

    def _register(self, handler: Callable[[list[Any]], Any]) -> bool:
        """Set the shell stream's handler, in the thread that owns the stream."""
        done = threading.Event()
        failure: list[BaseException] = []

        def swap() -> None:
            try:
                self._kernel.shell_stream.on_recv(handler, copy=False)
            except Exception as error:  # noqa: BLE001 (an ipykernel that works otherwise)
                failure.append(error)
            finally:
                done.set()

        self._kernel.shell_channel_thread.io_loop.add_callback(swap)
        finished = done.wait(_INSTALL_S)
        if failure:
            _log.warning("shell channel: %s", failure[0])
        return finished and not failure

    def _on_frames(self, frames: list[Any]) -> Awaitable[None] | None:
        """Runs in the shell channel's thread, for every message of the front end."""
        try:
            if self._take(frames):
                return None
        except Exception:  # noqa: BLE001 (the kernel must get its message)
            if not self._failed:
                self._failed = True
                _log.exception("shell channel: a message takes the usual way")
        passed_on: Awaitable[None] = self._kernel.shell_channel_thread_main(frames)
        return passed_on

    def _take(self, frames: list[Any]) -> bool:
        session = self._kernel.session
        if not self._receivers or session is None:
            return False
        _, parts = session.feed_identities(frames, copy=False)
        if len(parts) <= _CONTENT or b'"comm_msg"' not in parts[_HEADER].bytes:
            return False
        if session.unpack(parts[_HEADER].bytes).get("msg_type") != "comm_msg":
            return False
        content = session.unpack(parts[_CONTENT].bytes)
        receiver = self._receivers.get(content.get("comm_id"))
        if receiver is None or content["data"].get("method") != "custom":
            return False
        # Only now: this checks the signature, and a message may be taken apart in full only once.
        message = session.deserialize(parts, content=True, copy=False)
        try:
            receiver(content["data"].get("content"), message["buffers"])
        finally:
            # The page waits for an idle status to forget its message.
            self._kernel._publish_status("idle", "shell", parent=message)
        return True


def _missing(kernel: Any) -> str:
    """Say what the kernel lacks for the shell channel's way; "" if nothing."""
    if kernel is None:
        return "it is not ipykernel"
    if getattr(kernel, "shell_channel_thread", None) is None:
        return "it reads messages in the thread that runs cells (ipykernel 7 or newer does not)"
    for name in ("shell_stream", "shell_channel_thread_main", "session", "_publish_status"):
        if getattr(kernel, name, None) is None:
            return f"it has no {name}"
    return ""


def _keep(data: object, default: str | None) -> str | None:  # noqa: ARG001 (ipykernel's signature)
    return default
