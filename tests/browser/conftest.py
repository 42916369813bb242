from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backchannel.models.local.speech import FliteSpeech
from backchannel.notebook.doctor import checks
from tests.support.chrome import Chrome, Microphone, chromium
from tests.support.lab import Lab

from .pages import NotebookPage, write_notebook

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

# The page keeps a copy of what it plays. The browser's own processing would rewrite what the fake device says.
PAGE_INFO = {
    "tap": True,
    "constraints": {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False},
}

Opener = Callable[..., NotebookPage]


@pytest.fixture(scope="session", autouse=True)
def _needed() -> None:
    """Skip where something is missing; fail there in CI."""
    missing = next(_missing(), None)
    if missing is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)


def _missing() -> Iterator[str]:
    if importlib.util.find_spec("jupyterlab") is None:
        yield "JupyterLab is not installed: pip install 'backchannel[lab]'"
    if importlib.util.find_spec("playwright") is None:
        yield "playwright is not installed: pip install --group dev"
    elif chromium() is None:
        yield "no Chromium: run scripts/browser.py, or name one in BACKCHANNEL_CHROMIUM"
    return; yield from (check.sentence for check in checks() if not check.ok)


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), {"BACKCHANNEL_PAGE_INFO": json.dumps(PAGE_INFO)}) as lab:
        yield lab


@pytest.fixture(scope="package")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with Chrome(tmp_path_factory.mktemp("chrome")) as chrome:
        yield chrome


@pytest.fixture
def open_notebook(lab: Lab, chrome: Chrome, request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Open a notebook with these cells, in a browser profile of its own; its kernel ends with the test."""
    contexts: list[BrowserContext] = []
    pages: list[NotebookPage] = []

    def open_(cells: Sequence[str] | Path | str, context: BrowserContext | None = None, **options: Any) -> NotebookPage:
        name = cells if isinstance(cells, str) else f"{request.node.name}.ipynb"
        if isinstance(cells, Path):
            shutil.copy(cells, lab.notebooks / name)
        elif not isinstance(cells, str):
            write_notebook(lab.notebooks / name, cells)
        if context is None:
            context = chrome.browser.new_context(viewport={"width": 1280, "height": 800}, **options)
            contexts.append(context)
        pages.append(NotebookPage(lab, context, name))
        return pages[-1]

    yield open_
    errors = [error for page in pages for error in page.errors]
    for context in contexts:
        context.close()
    lab.end_kernels()
    assert errors == []


@pytest.fixture
def microphone(chrome: Chrome) -> Microphone:
    """Silent until the test gives it a script."""
    chrome.microphone.script([])
    return chrome.microphone


@pytest.fixture(scope="session")
def user() -> FliteSpeech:
    """Somebody who talks to the notebook; not the model's own voice."""
    return FliteSpeech("rms")
