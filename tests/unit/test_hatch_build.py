from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("hatchling")

SCRIPT = Path(__file__).parents[2] / "hatch_build.py"


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Project:
    """A tree with sources of the pages, and an npm that makes the outputs and notes its arguments."""

    def __init__(self, root: Path, hook: ModuleType) -> None:
        self.root, self._hook = root, hook
        self.js, self.built = root / "js", root / "src" / "backchannel" / "_built"
        self.calls = root / "calls.txt"
        for name in ("src/voice.ts", "package.json", "package-lock.json"):
            self.write(self.js / name, at=100)
        npm = root / "bin" / "npm"
        outputs = " ".join(f"'{self.built / name}'" for name in hook.OUTPUTS)
        self.write(
            npm, f"#!/bin/sh\necho $* >> '{self.calls}'\nmkdir -p '{self.built}/labextension'\ntouch {outputs}\n"
        )
        npm.chmod(0o755)

    def write(self, path: Path, text: str = "", at: int | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if at is not None:
            os.utime(path, (at, at))

    def finish(self, at: int) -> None:
        for name in self._hook.OUTPUTS:
            self.write(self.built / name, at=at)

    def build(self) -> list[str]:
        hook: Any = self._hook.BuildHook(str(self.root), {}, None, None, "", "wheel")
        hook.initialize("standard", {})
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def project(tmp_path: Path, hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path, hook)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.delenv(hook.SKIP, raising=False)
    return project


@pytest.fixture
def without_npm(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook.shutil, "which", lambda name: None)


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the npm of these tests is a shell script")


def test_what_is_not_built_is_installed_and_built(project: Project) -> None:
    assert project.build() == ["ci --no-audit --no-fund", "run build"]


def test_what_is_newer_than_its_sources_is_left_alone(project: Project) -> None:
    project.finish(at=100)
    assert project.build() == []


def test_a_changed_source_is_built_again_without_installing_again(project: Project) -> None:
    project.finish(at=150)
    project.write(project.js / "node_modules" / ".package-lock.json", at=150)
    project.write(project.js / "src" / "audio" / "new.ts", at=200)
    assert project.build() == ["run build"]


def test_the_variable_skips_the_build_but_not_the_check(
    project: Project, hook: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(hook.SKIP, "1")
    with pytest.raises(RuntimeError, match=r"not built: voice\.js.*Unset BACKCHANNEL_SKIP_JS_BUILD"):
        project.build()
    project.finish(at=50)
    assert project.build() == []


@pytest.mark.usefixtures("without_npm")
def test_without_npm_and_with_nothing_built_it_says_what_to_install(project: Project) -> None:
    with pytest.raises(RuntimeError, match=r"Node\.js >= 20\.19 with npm.*BACKCHANNEL_SKIP_JS_BUILD=1"):
        project.build()


def test_a_build_that_fails_is_named_with_its_folder(project: Project) -> None:
    project.write(project.root / "bin" / "npm", "#!/bin/sh\nexit 3\n")
    (project.root / "bin" / "npm").chmod(0o755)
    with pytest.raises(RuntimeError, match=r"`npm ci .*` in .*js ended with code 3"):
        project.build()
