from __future__ import annotations

from collections.abc import Iterator

import pytest

from .front_end import FrontEnd


@pytest.fixture
def front_end() -> Iterator[FrontEnd]:
    kernel = FrontEnd()
    yield kernel
    kernel.close()
