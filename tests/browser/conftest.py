from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backchannel.models.local.speech import FliteSpeech
from backchannel.notebook.doctor import checks
from tests.support.chrome import Chrome, Microphone, chromium
from tests.support.lab import Lab

from .pages import NotebookPage, write_notebook

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ViewportSize

# The page keeps a copy of what it plays. The browser's own processing would rewrite what the fake device says.
PAGE_INFO = {
    "tap": True,
    "constraints": {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False},
}

_FAILED = pytest.StashKey[bool]()
Opener = Callable[..., NotebookPage]


@pytest.fixture(scope="session", autouse=True)
def _needed() -> None:
    """Skip, and say why, where something is missing."""
    missing = next(_missing(), None)
    if missing is not None:
        pytest.skip(missing)


def _missing() -> Iterator[str]:
    if importlib.util.find_spec("jupyterlab") is None:
        yield "JupyterLab is not installed: pip install 'backchannel[lab]'"
    if importlib.util.find_spec("playwright") is None:
        yield "playwright is not installed: pip install --group dev"
    elif chromium() is None:
        yield "no Chromium: run scripts/browser.py, or name one in BACKCHANNEL_CHROMIUM"
    yield from (check.sentence for check in checks() if not check.ok)


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), {"BACKCHANNEL_PAGE_INFO": json.dumps(PAGE_INFO)}) as lab:
        yield lab


@pytest.fixture(scope="package")
def stock_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab without our extension."""
    with Lab(tmp_path_factory.mktemp("stock"), extension=False) as lab:
        yield lab


@pytest.fixture(scope="package")
def notebook_7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Jupyter Notebook 7."""
    pytest.importorskip("notebook", reason="Notebook 7 is not installed: pip install --group dev")
    with Lab(tmp_path_factory.mktemp("notebook"), application="notebook") as lab:
        yield lab


@pytest.fixture(scope="package")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with Chrome(tmp_path_factory.mktemp("chrome")) as chrome:
        yield chrome


@pytest.fixture
def open_notebook(lab: Lab, chrome: Chrome, request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Open a notebook in a new browser profile, or in a tab of ``context``. Its kernel ends with the test.

    Given are its cells, or a file that is copied, or the name of a notebook that is there.
    """
    default = lab
    contexts: list[BrowserContext] = []
    pages: list[NotebookPage] = []

    def open_(
        notebook: Sequence[str] | Path | str,
        *,
        context: BrowserContext | None = None,
        browser: Browser | None = None,
        permissions: Sequence[str] = ("microphone",),
        name: str = f"{re.sub(r'[^a-z_]+', '-', request.node.name)}.ipynb",
        lab: Lab = default,
    ) -> NotebookPage:
        name = notebook if isinstance(notebook, str) else name
        if isinstance(notebook, Path):
            shutil.copy(notebook, lab.notebooks / name)
        elif not isinstance(notebook, str):
            write_notebook(lab.notebooks / name, notebook)
        if context is None:
            size: ViewportSize = {"width": 1280, "height": 800}
            context = (browser or chrome.browser).new_context(viewport=size, permissions=permissions)
            contexts.append(context)
        pages.append(NotebookPage(lab, context, name))
        return pages[-1]

    yield open_
    if request.node.stash.get(_FAILED, False):
        for page in pages:
            print(page.describe())
    errors = [error for page in pages for error in page.errors]
    for context in contexts:
        context.close()
    for each in {default, *(page.lab for page in pages)}:
        each.end_kernels()
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report
