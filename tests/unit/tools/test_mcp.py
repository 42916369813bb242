"""MCPTools without a server; with servers, see the contract tests."""

from __future__ import annotations

import subprocess
import sys

import pytest

from backchannel import tools
from backchannel.errors import MissingExtraError


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mcp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "backchannel.tools.mcp_link", raising=False)
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtraError, match=r'MCPTools.*pip install "backchannel\[mcp\]"'):
        tools.MCPTools(command="server")


def test_it_is_loaded_only_when_it_is_asked_for() -> None:
    code = "import sys, backchannel.tools as tools; assert 'MCPTools' in tools.__all__; print('mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there() -> None:
    assert [name for name in tools.__all__ if not hasattr(tools, name)] == []
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = tools.nothing  # type: ignore[attr-defined]
