"""The build hook: makes what the pages need from js/, unless it is there and newer than its sources."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SKIP = "BACKCHANNEL_SKIP_JS_BUILD"
SOURCES = (
    "src",
    "build.mjs",
    "install.json",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "tsconfig.lab.json",
)
OUTPUTS = (
    "voice.js",
    "voice.css",
    "board.js",
    "board.css",
    "flite.wasm",
    "flite-COPYING.txt",
    "labextension/package.json",
)


class BuildHook(BuildHookInterface[Any]):
    """Runs before a wheel, an editable install and an sdist alike."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages.

        Raises:
            RuntimeError: If something is missing and cannot be built; says what to install or set.
        """
        js, built = Path(self.root, "js"), Path(self.root, "src", "backchannel", "_built")
        if os.environ.get(SKIP) != "1" and not _fresh(js, built):
            self._build(js, built)
        missing = [name for name in OUTPUTS if not (built / name).is_file()]
        if missing:
            raise RuntimeError(
                f"backchannel: not built: {', '.join(missing)}. Unset {SKIP} and build again with Node.js >= 20.19."
            )

    def _build(self, js: Path, built: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            if all((built / name).is_file() for name in OUTPUTS):
                self.app.display_warning(
                    "backchannel: js/ is newer than what was built from it, but there is no npm; the old build is used."
                )
                return
            raise RuntimeError(
                "backchannel: building from source needs Node.js >= 20.19 with npm, and npm is not on the PATH. "
                f"Install it (https://nodejs.org), or put a finished build into {built} and set {SKIP}=1."
            )
        lock, installed = js / "package-lock.json", js / "node_modules" / ".package-lock.json"
        if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
            _run(npm, "ci", "--no-audit", "--no-fund", cwd=js)
        _run(npm, "run", "build", cwd=js)


def _fresh(js: Path, built: Path) -> bool:
    outputs = [built / name for name in OUTPUTS]
    if not all(output.is_file() for output in outputs):
        return False
    newest = max((file.stat().st_mtime for file in _files(js)), default=0.0)
    return newest <= min(output.stat().st_mtime for output in outputs)


def _files(js: Path) -> Iterator[Path]:
    for name in SOURCES:
        path = js / name
        if path.is_file():
            yield path
        yield from (file for file in path.rglob("*") if file.is_file())


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, check=False)  # noqa: S603 - npm, with our own words
    if done.returncode != 0:
        words = " ".join(["npm", *command[1:]])
        raise RuntimeError(
            f"backchannel: `{words}` in {cwd} ended with code {done.returncode}; its output above says why. "
            f"Node.js >= 20.19 is needed. With a finished build in place, {SKIP}=1 goes without it."
        )
