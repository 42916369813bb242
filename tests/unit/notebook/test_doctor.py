from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backchannel.notebook import doctor
from backchannel.notebook.hub import SwitchInterval
from backchannel.notebook.routing import Routing


def check(name: str, hub: Any = None) -> doctor.Check:
    return next(item for item in doctor.checks(hub) if item.name == name)


def hub() -> Any:
    return SimpleNamespace(routing=Routing(None), interval=SwitchInterval(), voices=[])


def test_every_check_says_a_sentence() -> None:
    for item in doctor.checks(hub()):
        assert item.sentence.strip()
        assert item.name


@pytest.mark.parametrize(
    ("version", "ok"), [("6.29.5", False), ("7.0.1", False), ("7.1.0", True), ("7.4.0", True), ("10.1", True)]
)
def test_an_old_ipykernel_is_named(monkeypatch: pytest.MonkeyPatch, version: str, ok: bool) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    assert check("ipykernel").ok is ok
    assert version in check("ipykernel").sentence


def test_missing_built_files_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "BUILT", tmp_path)
    assert not check("built files").ok
    assert "voice.js" in check("built files").sentence


@pytest.mark.parametrize("enabled", [True, False, None])
def test_the_server_extension_is_found_in_jupyters_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, enabled: bool | None
) -> None:
    monkeypatch.setattr(doctor, "_jupyter_paths", lambda *_: [str(tmp_path)])
    if enabled is not None:
        folder = tmp_path / "jupyter_server_config.d"
        folder.mkdir()
        config = {"ServerApp": {"jpserver_extensions": {"backchannel.server_extension": enabled}}}
        (folder / "backchannel.json").write_text(json.dumps(config), encoding="utf-8")
    assert check("server extension").ok is bool(enabled)


def test_the_lab_extension_is_found_by_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_jupyter_paths", lambda *_: [str(tmp_path)])
    assert not check("JupyterLab extension").ok
    (tmp_path / "backchannel").mkdir()
    (tmp_path / "backchannel" / "package.json").write_text("{}", encoding="utf-8")
    assert check("JupyterLab extension").ok


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wasmtime" else find(name))
    assert "wasmtime" in check("extra local").sentence
    assert 'pip install "backchannel[local]"' in check("extra local").sentence


def test_a_page_is_told_what_is_off() -> None:
    notebook = hub()
    notebook.routing.install()
    assert len(doctor.notices(notebook, lab=True)) == 1
    assert "busy cell" in doctor.notices(notebook, lab=True)[0]
    assert "JupyterLab extension" in doctor.notices(notebook, lab=False)[1]
    notebook.routing.route, notebook.routing.reason = "shell-channel", ""
    assert doctor.notices(notebook, lab=True) == []
