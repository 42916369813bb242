"""Random lives of the tasks of one manager: none is lost, none told twice, none stuck."""

from __future__ import annotations

from .task_setting import lives
from .task_world import TaskWorld

TestTaskLives = TaskWorld.TestCase
TestTaskLives.settings = lives(200)
