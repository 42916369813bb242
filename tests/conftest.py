"""Fixtures for all suites."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from backchannel.tasks import set_default_manager

# How fast examples are made says something of the machine and nothing of the code.
settings.register_profile("backchannel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("backchannel")

os.environ.pop("BACKCHANNEL_MODEL", None)


@pytest.fixture(autouse=True)
def _no_ambient_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the developer has configured reaches a test."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_manager_of_another_test() -> Iterator[None]:
    """Tools that name no manager get one of their own test."""
    yield
    set_default_manager(None)
