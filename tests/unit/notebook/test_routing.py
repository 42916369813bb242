from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from backchannel.notebook.routing import Routing


class ShellChannelThread:
    """Runs callbacks at once, as if in its own thread."""

    def __init__(self) -> None:
        self.io_loop = SimpleNamespace(add_callback=lambda function: function())


class Kernel:
    """The parts of ipykernel that routing uses."""

    def __init__(self) -> None:
        self.session = Session(key=b"secret")
        self.shell_channel_thread: Any = ShellChannelThread()
        self.shell_stream = SimpleNamespace(on_recv=self._on_recv)
        self.handler: Any = self.shell_channel_thread_main
        self.passed_on: list[Any] = []
        self.published: list[tuple[str, str]] = []

    def _on_recv(self, handler: Any, copy: bool) -> None:
        assert copy is False
        self.handler = handler

    async def shell_channel_thread_main(self, frames: list[Any]) -> None:
        self.passed_on.append(frames)

    def _publish_status(self, status: str, channel: str, parent: Any = None) -> None:
        self.published.append((status, parent["header"]["msg_id"]))

    def arrive(self, sender: Session, content: dict[str, Any], kind: str = "comm_msg", buffers: Any = ()) -> str:
        message = sender.msg(kind, content)
        frames = [b"ident", *sender.serialize(message), *buffers]
        outcome = self.handler([zmq.Frame(frame) for frame in frames])
        if outcome is not None:
            asyncio.run(outcome)
        return str(message["header"]["msg_id"])


class Comm:
    def __init__(self, comm_id: str) -> None:
        self.comm_id = comm_id


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def front_end() -> Session:
    return Session(key=b"secret")


def custom(comm_id: str, content: object) -> dict[str, Any]:
    return {"comm_id": comm_id, "data": {"method": "custom", "content": content}}


def test_a_watched_comms_message_is_received_before_any_shell_sees_it(kernel: Kernel, front_end: Session) -> None:
    routing, received = Routing(kernel), []
    routing.install()
    routing.watch(Comm("ours"), lambda content, buffers: received.append((content, [bytes(b) for b in buffers])))
    message = kernel.arrive(front_end, custom("ours", {"k": "mic"}), buffers=[b"\x01\x02"])
    assert received == [({"k": "mic"}, [b"\x01\x02"])]
    assert kernel.passed_on == []
    assert kernel.published == [("idle", message)]
    assert (routing.route, routing.reason) == ("shell-channel", "")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("comm_msg", custom("theirs", {"k": "mic"})),
        ("comm_msg", {"comm_id": "ours", "data": {"method": "request_state"}}),
        ("comm_msg", {"comm_id": "ours"}),
        ("comm_close", custom("ours", {})),
        ("execute_request", {"code": '"comm_msg"'}),
    ],
)
def test_everything_else_is_passed_on_untouched(
    kernel: Kernel, front_end: Session, kind: str, content: dict[str, Any]
) -> None:
    routing = Routing(kernel)
    routing.install()
    routing.watch(Comm("ours"), lambda *_: pytest.fail("taken"))
    kernel.arrive(front_end, content, kind)
    _, frames = kernel.session.feed_identities(kernel.passed_on[0], copy=False)
    assert kernel.session.deserialize(frames, content=True, copy=False)["content"] == content


def test_a_message_with_a_wrong_signature_is_not_taken(kernel: Kernel) -> None:
    routing = Routing(kernel)
    routing.install()
    routing.watch(Comm("ours"), lambda *_: pytest.fail("taken"))
    kernel.arrive(Session(key=b"guessed"), custom("ours", {}))
    assert len(kernel.passed_on) == 1


def test_the_kernel_has_its_channel_back_after_uninstalling(kernel: Kernel, front_end: Session) -> None:
    routing = Routing(kernel)
    routing.install()
    routing.watch(Comm("ours"), lambda *_: pytest.fail("taken"))
    routing.uninstall()
    assert kernel.handler == kernel.shell_channel_thread_main
    kernel.arrive(front_end, custom("ours", {}))
    assert len(kernel.passed_on) == 1


def test_a_comm_of_ipykernel_7_4_is_left_on_the_shell_that_the_front_end_chose(kernel: Kernel) -> None:
    comm = Comm("ours")
    comm._reply_subshell_for = lambda data, default: None  # type: ignore[attr-defined]
    Routing(kernel).watch(comm, lambda *_: None)
    assert comm._reply_subshell_for({"content": {}}, "subshell-1") == "subshell-1"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "route", "said"),
    [
        ({"shell_channel_thread": None}, "none", "thread that runs cells"),
        ({"shell_stream": None}, "subshell", "no shell_stream"),
        ({"_publish_status": None}, "subshell", "no _publish_status"),
    ],
)
def test_a_kernel_that_lacks_something_is_named_and_left_alone(
    kernel: Kernel, change: dict[str, Any], route: str, said: str
) -> None:
    for name, value in change.items():
        setattr(kernel, name, value)
    routing = Routing(kernel)
    routing.install()
    assert routing.route == route
    assert said in routing.reason
    assert kernel.handler == kernel.shell_channel_thread_main


def test_a_stream_that_refuses_the_handler_is_survived(kernel: Kernel) -> None:
    def refuse(handler: Any, copy: bool) -> None:
        raise RuntimeError("no")

    kernel.shell_stream = SimpleNamespace(on_recv=refuse)
    routing = Routing(kernel)
    routing.install()
    assert routing.route == "subshell"
    assert routing.reason


def test_without_ipykernel_it_says_so() -> None:
    routing = Routing(None)
    routing.install()
    assert routing.route == "none"
    assert "ipykernel" in routing.reason
