"""What ``runner=`` may be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backchannel.errors import ToolDefinitionError
from backchannel.tasks import AsyncToolManager
from backchannel.tasks.runners import runner_of
from backchannel.tasks.runners.executor import ExecutorRunner
from backchannel.tasks.runners.processes import ProcessRunner
from backchannel.tasks.runners.threads import ThreadRunner


@pytest.fixture
def manager() -> AsyncToolManager:
    return AsyncToolManager()


def test_threads_and_coroutines_are_the_managers_own(manager: AsyncToolManager):
    assert runner_of("thread", manager) is runner_of("threads", manager) is manager.threads
    assert runner_of("coroutine", manager) is runner_of("coroutines", manager) is manager.coroutines


def test_processes_are_made_once_for_a_manager(manager: AsyncToolManager):
    processes = runner_of("process", manager)
    assert isinstance(processes, ProcessRunner)
    assert processes.process_ids == []
    assert runner_of("processes", manager) is processes
    assert runner_of("process", AsyncToolManager()) is not processes


def test_an_executor_is_taken_and_always_has_the_same_runner(manager: AsyncToolManager):
    with ThreadPoolExecutor(1) as executor:
        runner = runner_of(executor, manager)
        assert isinstance(runner, ExecutorRunner)
        assert runner_of(executor, manager) is runner


def test_a_runner_is_taken_as_it_is(manager: AsyncToolManager):
    runner = ThreadRunner(1)
    assert runner_of(runner, manager) is runner


@pytest.mark.parametrize(
    "wrong", ["", "fork", "threads please", ":", None, 3, ThreadRunner, object(), b"thread", "x" * 999]
)
def test_anything_else_is_refused_with_what_it_may_be(manager: AsyncToolManager, wrong: Any):
    with pytest.raises(ToolDefinitionError, match=r'is no place to run: it may be "thread", "coroutine"') as caught:
        runner_of(wrong, manager)
    assert len(str(caught.value)) < 500
