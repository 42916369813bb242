"""Random lives of tasks whose results an `AsyncAgent` tells: each once, and in the end all that are owed."""

from __future__ import annotations

from .agent_world import AgentWorld
from .task_setting import lives

TestAgentLives = AgentWorld.TestCase
TestAgentLives.settings = lives(150)
