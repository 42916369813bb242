"""What `backchannel.io` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import backchannel.io

HEAVY = {"sounddevice", "prompt_toolkit", "numpy", "starlette", "aiohttp", "websockets", "uvicorn"}


def test_every_public_name_is_there():
    for name in backchannel.io.__all__:
        assert getattr(backchannel.io, name) is not None
        assert name in dir(backchannel.io)
    with pytest.raises(AttributeError, match="nothing"):
        _ = backchannel.io.nothing


def test_importing_loads_no_audio_terminal_or_server_library():
    code = "import sys, backchannel.io; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()


def test_websockets_and_files_need_no_library_of_a_server():
    code = (
        "import sys; from backchannel.io import WavIO, WebSocketIO, bidi_asgi_app; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (HEAVY - {"numpy"}) & set(done.stdout.split()) == set()
