"""LiveWidget: what the voice's and the boards' widgets have in common."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from ..errors import BackchannelError, InvalidInputError
from .wire import FromPage, ToPage, pack, unpack

if TYPE_CHECKING:
    from .routing import Routing

__all__ = ["BUILT", "LiveWidget", "MessageGate", "built_text"]

BUILT = Path(__file__).parent.parent / "_built"
_log = logging.getLogger(__name__)


def built_text(name: str) -> str:
    """Return a file that the build of ``js/`` made.

    Raises:
        BackchannelError: If it was not built.
    """
    try:
        return (BUILT / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BackchannelError(
            f"backchannel's browser part {name!r} was not built. Install a wheel, or run 'npm ci && npm run build' "
            "in js/ (Node 20.19 or newer)."
        ) from None


class MessageGate:
    """Checks what pages send, on whichever thread it arrives, and hands it on.

    Attributes:
        malformed: How many messages were refused.
    """

    def __init__(self, hand_over: Callable[[FromPage, list[bytes]], None]) -> None:
        self.malformed = 0
        self._hand_over = hand_over

    def take(self, content: object, buffers: Sequence[Any]) -> None:
        """Hand a well-formed message over, count another; never raises, prints nothing."""
        try:
            self._hand_over(unpack(content), [bytes(buffer) for buffer in buffers])
        except InvalidInputError as error:
            self.refuse(error)
        except Exception:  # noqa: BLE001 (runs in the kernel's thread)
            _log.exception("widget message lost")

    def refuse(self, error: Exception) -> None:
        """Count a message that cannot be used; the first one is logged."""
        self.malformed += 1
        if self.malformed == 1:
            _log.warning("ignored: %s (more of them are only counted)", error)


class LiveWidget(anywidget.AnyWidget):
    """A widget whose state lives elsewhere: a page that comes back is given the newest.

    Args:
        bundle: Name of its files in ``_built``, without suffix.
        state: Returns the snapshot; called on any thread.
        receive: Takes a page's message; called on any thread, returns at once.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    snapshot = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        bundle: str,
        state: Callable[[], dict[str, Any]],
        receive: Callable[[FromPage, list[bytes]], None],
        routing: Routing,
    ) -> None:
        self._live_state = state
        self._routing = routing
        self.gate = MessageGate(receive)
        super().__init__(_esm=built_text(f"{bundle}.js"), _css=built_text(f"{bundle}.css"))
        self.on_msg(self._on_custom)
        routing.watch(self.comm, self.gate.take)

    def get_state(self, key: str | Iterable[str] | None = None, drop_defaults: bool = False) -> dict[str, Any]:
        """Return the traits, with the live snapshot; no trait is set, so that any thread may ask."""
        state: dict[str, Any] = super().get_state(key=key, drop_defaults=drop_defaults)
        if key is None or "snapshot" in state:
            state["snapshot"] = self._live_state()
        return state

    def tell(self, message: ToPage, audio: bytes | None = None) -> None:
        """Send to the pages. Only for the loop's thread."""
        if self.comm is not None:
            self.send(pack(message), None if audio is None else [audio])

    def close(self) -> None:
        """Close all views."""
        if self.comm is not None:
            self._routing.unwatch(self.comm.comm_id)
        super().close()

    def _on_custom(self, _widget: object, content: object, buffers: Sequence[Any]) -> None:
        self.gate.take(content, buffers)
