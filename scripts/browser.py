"""Make sure that there is a Chromium for the browser tests; print its path. Try to have PortAudio for the audio tests.

Taken from the system; else installed by the system's package manager, else (Chromium) by Playwright, whichever works.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find() -> str | None:
    """Return the path of a Chromium, or None. BACKCHANNEL_CHROMIUM names one that is elsewhere."""
    named = os.environ.get("BACKCHANNEL_CHROMIUM")
    if named and os.access(named, os.X_OK):
        return named
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if os.path.exists(path) else None


def run(*command: str) -> bool:
    print("+", *command, file=sys.stderr, flush=True)
    try:
        return subprocess.run(command, check=False, stdout=sys.stderr).returncode == 0
    except FileNotFoundError:
        return False


def administrator() -> list[str] | None:
    """Return what to put before a command that needs an administrator, None if there is no such thing."""
    return [] if os.geteuid() == 0 else (["sudo", "-n"] if shutil.which("sudo") else None)


def install_portaudio() -> None:
    prefix = administrator()
    if prefix is not None and shutil.which("apt-get"):
        options = ("--yes", "--quiet=2", "--no-install-recommends")
        if not run(*prefix, "apt-get", "install", *options, "libportaudio2"):
            run(*prefix, "apt-get", "update", "--quiet=2")
            run(*prefix, "apt-get", "install", *options, "libportaudio2")


def install() -> None:
    prefix = administrator()
    if prefix is not None and shutil.which("apt-get"):
        run(*prefix, "apt-get", "update", "--quiet=2")
        if run(*prefix, "apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", "chromium"):
            return
    elif prefix is not None and shutil.which("dnf") and run(*prefix, "dnf", "install", "--assumeyes", "chromium"):
        return
    run(sys.executable, "-m", "playwright", "install", "chromium")


def main() -> int:
    if sys.platform == "linux" and ctypes.util.find_library("portaudio") is None:
        install_portaudio()
    path = find()
    if path is None:
        install()
        path = find()
    if path is None:
        print(
            "No Chromium was found and none could be installed; the browser tests will be skipped. "
            "Install Chromium, or name one in BACKCHANNEL_CHROMIUM.",
            file=sys.stderr,
        )
        return 0
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
