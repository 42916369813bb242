from __future__ import annotations
import pytest
from .conftest import Opener
pytestmark = pytest.mark.browser

def test_plain(open_notebook: Opener) -> None:
    nb = open_notebook(["print(6*7)", "import time; time.sleep(1); 'x'"])
    assert nb.run(0) == "42\n"
    nb.start(1)
    nb.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.content.widgets[1].model.executionState === 'running'")
    assert nb.busy(1)
    nb.wait_idle(1)
    assert nb.save()["cells"][1]["outputs"][0]["data"]["text/plain"] == ["'x'"]
    nb.theme("JupyterLab Dark")
    nb.page.screenshot(path="/tmp/f_shot.png")
