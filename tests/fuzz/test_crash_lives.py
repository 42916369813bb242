"""Random lives of tasks with a ledger, whose processes crash: told once, or once more as what may be known already."""

from __future__ import annotations

from .crash_world import CrashWorld
from .task_setting import lives

TestCrashLives = CrashWorld.TestCase
TestCrashLives.settings = lives(150)
