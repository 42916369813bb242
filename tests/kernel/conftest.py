from __future__ import annotations

from collections.abc import Iterator

import pytest

from .front_end import FrontEnd


@pytest.fixture
def front_end() -> Iterator[FrontEnd]:
    """A kernel of the test's own."""
    kernel = FrontEnd()
    yield kernel
    kernel.close()


@pytest.fixture(scope="module")
def shared_front_end() -> Iterator[FrontEnd]:
    """A kernel for tests that reload the extension and leave nothing behind."""
    kernel = FrontEnd()
    yield kernel
    kernel.close()
