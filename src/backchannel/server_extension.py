"""What JupyterLab's server loads: kernel websockets without delay, and a page to ask whether that is so.

Tornado leaves Nagle's algorithm on, which holds every small message to the page back for some 15 ms.
"""

from __future__ import annotations

import functools
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from jupyter_server.utils import url_path_join
from tornado import web

__all__ = ["StatusHandler", "without_delay"]

_MARK = "_backchannel_nodelay"


def without_delay(handler: type[Any]) -> bool:
    """Make the connections of a websocket handler class send small messages at once.

    Returns:
        Whether they do now; False when the class has no ``open`` or ``set_nodelay``. Doing it again changes nothing.
    """
    opened = getattr(handler, "open", None)
    if opened is None or not hasattr(handler, "set_nodelay"):
        return False
    if getattr(opened, _MARK, False):
        return True

    @functools.wraps(opened)
    def open_without_delay(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            self.set_nodelay(True)
        except Exception as error:  # noqa: BLE001 - a kernel connection must never fail for our sake
            self.log.warning("Backchannel: this kernel connection keeps its delay: %s", error)
        return opened(self, *args, **kwargs)

    setattr(open_without_delay, _MARK, True)
    handler.open = open_without_delay
    return True


class StatusHandler(JupyterHandler):
    """``GET <base>/backchannel/status``: ``{"nodelay": bool, "version": str}``, for who is logged in."""

    @web.authenticated
    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        nodelay = bool(getattr(KernelWebsocketHandler.open, _MARK, False))
        self.finish(json.dumps({"nodelay": nodelay, "version": _version()}))


def _version() -> str:
    try:
        return version("backchannel")
    except PackageNotFoundError:
        return "unknown"


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "backchannel.server_extension"}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    if not without_delay(KernelWebsocketHandler):
        server_app.log.warning("Backchannel: this jupyter_server's websockets cannot be tuned; the voice is slower.")
    status = url_path_join(server_app.web_app.settings["base_url"], "backchannel", "status")
    server_app.web_app.add_handlers(".*$", [(status, StatusHandler)])
