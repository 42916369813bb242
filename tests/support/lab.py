"""Lab: a real JupyterLab server with directories of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE_S = 60.0
CONFIG = """
c.LabApp.expose_app_in_browser = True
c.JupyterNotebookApp.expose_app_in_browser = True
c.LabApp.news_url = None
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
c.ServerApp.ip = "127.0.0.1"
c.FileContentsManager.delete_to_trash = False
"""
# As a user who has answered the questions that it asks at first.
SETTINGS = {"notification": {"fetchNews": "false", "checkForUpdates": False}}


class Lab:
    """Starts a server and stops it with its kernels; what it printed is in ``log``.

    Args:
        folder: For everything that it writes; notebooks are in ``folder / "notebooks"``.
        environment: Variables for the server and its kernels.
        extension: Whether the pages run our JupyterLab extension.
        application: The module that is run: "jupyterlab", or "notebook" for Jupyter Notebook 7.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        extension: bool = True,
        application: str = "jupyterlab",
    ) -> None:
        self.notebooks = folder / "notebooks"
        self.log = folder / "server.log"
        self.token = secrets.token_hex(16)
        self.url = ""
        self._folder = folder
        self._environment = dict(environment or {})
        self._extension = extension
        self._application = application
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Lab:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server; returns when it answers."""
        folders = {name: self._folder / name for name in ("home", "config", "data", "runtime", "ipython")}
        for path in (*folders.values(), self.notebooks):
            path.mkdir(parents=True, exist_ok=True)
        (folders["config"] / "jupyter_lab_config.py").write_text(CONFIG)
        (folders["config"] / "jupyter_notebook_config.py").write_text(CONFIG)
        pages = folders["config"] / "labconfig" / "page_config.json"
        pages.parent.mkdir(exist_ok=True)
        pages.write_text(json.dumps({"disabledExtensions": {"backchannel": not self._extension}}))
        settings = folders["config"] / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True, exist_ok=True)
        for name, values in SETTINGS.items():
            (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(values))
        environment = dict(os.environ)
        environment |= {
            "HOME": str(folders["home"]),
            "JUPYTER_CONFIG_DIR": str(folders["config"]),
            "JUPYTER_DATA_DIR": str(folders["data"]),
            "JUPYTER_RUNTIME_DIR": str(folders["runtime"]),
            "JUPYTER_TOKEN": self.token,
            "IPYTHONDIR": str(folders["ipython"]),
            # Found again where it was, so that the voice's module is compiled once and not for each HOME.
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        } | self._environment
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._application, str(self.notebooks)],
                env=environment,
                cwd=self.notebooks,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait(folders["runtime"])
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and its kernels; safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def end_kernels(self) -> None:
        """End all notebooks' kernels."""
        for session in self.ask("GET", "api/sessions"):
            self.ask("DELETE", f"api/sessions/{session['id']}")

    def ask(self, method: str, path: str) -> Any:
        """Ask the server's REST API."""
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        request.add_header("Authorization", f"token {self.token}")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            body = response.read()
        return json.loads(body) if body else None

    def open_url(self, notebook: str) -> str:
        """Where a notebook is opened in a browser; in JupyterLab in a workspace of its own."""
        if self._application == "notebook":
            return f"{self.url}notebooks/{notebook}?token={self.token}"
        return f"{self.url}lab/workspaces/w{secrets.token_hex(4)}/tree/{notebook}?token={self.token}"

    def _wait(self, runtime: Path) -> None:
        assert self._process is not None
        give_up = time.monotonic() + PATIENCE_S
        server = runtime / f"jpserver-{self._process.pid}.json"
        while time.monotonic() < give_up:
            if self._process.poll() is not None:
                break
            try:
                self.url = str(json.loads(server.read_text())["url"])
                self.ask("GET", "api/status")
                return
            except (FileNotFoundError, ValueError, urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
