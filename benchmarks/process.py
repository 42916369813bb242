"""Process: a module of the benchmarks in a new process, so that its memory and processor time are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import backchannel

__all__ = ["measured_alone", "resident_mb"]


def measured_alone(module: str, *arguments: str) -> dict[str, Any]:
    """Run a module of this package and return the JSON object in its last line.

    Raises:
        RuntimeError: If it fails; with the end of what it said.
    """
    root = Path(__file__).parents[1]
    path = os.pathsep.join(
        filter(None, (str(root), str(Path(backchannel.__file__).parents[1]), os.environ.get("PYTHONPATH")))
    )
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.{module}", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} in a process of its own failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def resident_mb() -> float:
    """Return the memory of this process that is in RAM now; on systems without /proc the most that it ever was."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
