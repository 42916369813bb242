"""Background sides: who runs background tools in one trial: our `AsyncAgent`, the peer's agent, a bare thread pool."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from backchannel import AsyncToolManager, async_tool
from backchannel.agents import Agent, AsyncAgent

from .background_stage import LIMIT_S, Script, Stage
from .figures import UnavailableError
from .sides import PEER

__all__ = ["POOL", "BackgroundSide", "OurBackground", "PoolBackground", "StrandsBackground", "peer_background"]

POOL = "ThreadPoolExecutor + callback, which tells no model"

SETTLE_S = 0.01
"""How long the bodies go on after the acknowledgement, so that the agent is idle, seconds."""

GRACE_S = 0.005
"""How long our call waits for a quick result, seconds: shorter than it usually is, so that trials are short.

The peer waits for none; no figure here begins or ends within that time."""

PROMPT = "Please research these topics."


class BackgroundSide(Protocol):
    """Runs trials one after the other; its threads and loops stay from one to the next, its conversations do not."""

    name: str

    def run(self, stage: Stage) -> None:
        """Run one trial to its end.

        Raises:
            RuntimeError: If the model is not told of every task.
        """

    def close(self) -> None:
        """End what it started."""


class _ScriptModel:
    """A text model of ours that follows a script."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def stream(
        self, messages: Any, tool_specs: Any = None, system_prompt: str | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        return self._script.events(messages)


class OurBackground:
    """`AsyncAgent` around `Agent`."""

    name = "backchannel"

    def __init__(self, body: Callable[[Callable[[], Stage]], Callable[..., Any]], tasks: int) -> None:
        self._script = Script()
        self._manager = AsyncToolManager(max_workers=tasks, grace_s=GRACE_S)
        self._tool = async_tool(self._manager)(body(lambda: self._script.stage))

    def run(self, stage: Stage) -> None:
        self._script.stage = stage
        agent = Agent(_ScriptModel(self._script), tools=[self._tool])
        with AsyncAgent(agent, self._manager) as talk:
            talk.send(PROMPT).result(LIMIT_S)
            stage.open(SETTLE_S)
            stage.wait_told()

    def close(self) -> None:
        self._manager.shutdown(cancel=True)


class StrandsBackground:
    """An agent of Strands whose tools all run in the background, on an event loop that is there all the time.

    It waits for its tasks (``wait_for_completion``, its default): otherwise it tells nothing before the next prompt.
    """

    def __init__(self, name: str, body: Callable[[Callable[[], Stage]], Callable[..., Any]], tasks: int) -> None:
        from strands import Agent as StrandsAgent
        from strands import tool
        from strands.models.model import Model

        class ScriptModel(Model):
            """A model of the peer's that follows a script."""

            def __init__(self, script: Script) -> None:
                self._script = script

            def update_config(self, **model_config: Any) -> None:
                pass

            def get_config(self) -> dict[str, Any]:
                return {"model_id": "script"}

            def structured_output(self, *args: Any, **kwargs: Any) -> Any:
                raise NotImplementedError

            def stream(self, messages: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                return self._script.events(messages)

        self.name = name
        self._script = Script()
        function = tool(body(lambda: self._script.stage))
        self._agent = lambda: StrandsAgent(
            ScriptModel(self._script),
            tools=[function],
            callback_handler=None,
            background_tasks={"always": [function], "agentic": [], "max_concurrency": tasks},
        )
        self._loop = asyncio.new_event_loop()
        # The loop's own pool has fewer threads than tasks on a small machine: some bodies would wait for others.
        self._loop.set_default_executor(ThreadPoolExecutor(32))
        self._thread = threading.Thread(target=self._loop.run_forever, name="benchmark-peer", daemon=True)
        self._thread.start()

    def run(self, stage: Stage) -> None:
        self._script.stage = stage
        answer = asyncio.run_coroutine_threadsafe(self._agent().invoke_async(PROMPT), self._loop)
        stage.open(SETTLE_S)
        stage.wait_told()
        answer.result(LIMIT_S)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop).result(LIMIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class PoolBackground:
    """A pool of threads and a callback: no model, no acknowledgement, nobody is told. The least that it can take."""

    name = POOL

    def __init__(self, body: Callable[[Callable[[], Stage]], Callable[..., Any]], tasks: int) -> None:
        self._stage = Stage(1)
        self._body = body(lambda: self._stage)
        self._pool = ThreadPoolExecutor(tasks)

    def run(self, stage: Stage) -> None:
        self._stage = stage

        def told(future: Future[str]) -> None:
            stage.hear(future.result(), time.perf_counter())

        stage.ask()
        for number in range(stage.tasks):
            self._pool.submit(self._body, topic=str(number)).add_done_callback(told)
        stage.acknowledged.set()
        stage.open(SETTLE_S)
        stage.wait_told()

    def close(self) -> None:
        self._pool.shutdown()


def peer_background(body: Callable[[Callable[[], Stage]], Callable[..., Any]], tasks: int) -> BackgroundSide:
    """Return the peer's side.

    Raises:
        UnavailableError: If it is not installed.
    """
    try:
        return StrandsBackground(f"{PEER} {version(PEER)}, background_tasks", body, tasks)
    except (PackageNotFoundError, ImportError) as error:
        raise UnavailableError(f"{PEER} is needed beside ours ({error}); pip install --group bench") from error
