"""A process that holds one spoken conversation with the embedded model in real time, and prints what it measured.

Started by `local_model`, so that memory and processor time are those of the conversation alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from backchannel import BidiAgent, LocalModel, async_tool
from backchannel.audio.pcm import read_wav
from backchannel.events import (
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiResponseCompleteEvent,
    BidiTranscriptStreamEvent,
)

RATE = 16000
CHUNK = RATE // 50
PATIENCE_S = 10.0
PAUSE_S = 0.6
"""From the end of an answer to the next utterance, seconds."""


class Conversation:
    """An agent, a microphone that never pauses, and a speaker that notes when the voice begins."""

    def __init__(self) -> None:
        @async_tool(announce="never")
        async def research(
            topic: Literal["solar power", "wind energy", "coral reefs", "black holes", "volcanoes", "honey bees",
                           "electric cars", "deep sea fish"],
        ) -> str:  # fmt: skip
            """Research a topic."""
            await asyncio.Event().wait()
            return topic

        self.agent = BidiAgent(LocalModel(), tools=[research])
        self._microphone: list[np.ndarray[Any, Any]] = []
        self._ended: float | None = None
        self._last = 0
        self._voice = asyncio.Event()
        self._over = asyncio.Event()
        self._first = 0.0
        self.heard: list[str] = []

    async def hear(self) -> None:
        """Feed the agent 20 ms chunks on time: what is said, and silence between."""
        began, count = time.perf_counter(), 0
        silence = np.zeros(CHUNK, dtype=np.int16)
        while True:
            chunk = self._microphone.pop(0) if self._microphone else silence
            count += 1
            await asyncio.sleep(max(0.0, began + count * CHUNK / RATE - time.perf_counter()))
            await self.agent.send(BidiAudioInputEvent.from_data(chunk.tobytes(), RATE))
            if self._ended is None and self._last > 0:
                self._last -= 1
                if self._last == 0:
                    self._ended = time.perf_counter()

    async def listen(self) -> None:
        """Note what the agent heard, and when its voice begins and ends."""
        async for event in self.agent.receive():
            if isinstance(event, BidiAudioStreamEvent) and not self._voice.is_set():
                self._first = time.perf_counter()
                self._voice.set()
            elif isinstance(event, BidiTranscriptStreamEvent) and event.role == "user" and event.is_final:
                self.heard.append(event.text)
            elif isinstance(event, BidiResponseCompleteEvent):
                self._over.set()

    async def ask(self, said: np.ndarray[Any, Any]) -> float:
        """Say something; return the seconds from its last sound to the first of the answer."""
        loud = np.flatnonzero(np.abs(said.astype(np.int32)) > 200)
        chunks = -(-(int(loud[-1]) + 1) // CHUNK)
        padded = np.concatenate([said, np.zeros(-len(said) % CHUNK, dtype=np.int16)])
        self._voice.clear()
        self._over.clear()
        self._ended, self._last = None, chunks
        self._microphone.extend(padded.reshape(-1, CHUNK))
        async with asyncio.timeout(len(said) / RATE + PATIENCE_S):
            await self._voice.wait()
            await self._over.wait()
        if self._ended is None:
            raise RuntimeError(f"the agent answered before the end of what was said; it heard {self.heard[-1:]}")
        return self._first - self._ended


async def converse(order: Path, question: Path, trials: int) -> dict[str, Any]:
    """Give the order and ask the question by turns."""
    talk = Conversation()
    spoken = [read_wav(path.read_bytes())[0] for path in (order, question)]
    loading = time.perf_counter()
    await talk.agent.start()
    loaded = time.perf_counter()
    delays: list[list[float]] = [[], []]
    tasks = [asyncio.create_task(talk.hear()), asyncio.create_task(talk.listen())]
    used = time.process_time()
    try:
        for _ in range(trials):
            for said, found in zip(spoken, delays, strict=True):
                await asyncio.sleep(PAUSE_S)
                found.append(await talk.ask(said))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    used, lasted = time.process_time() - used, time.perf_counter() - loaded
    await talk.agent.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "order_s": delays[0],
        "question_s": delays[1],
        "heard": talk.heard,
        "load_s": loaded - loading,
        "cores": used / lasted,
        "peak_mb": peak / (1024 * 1024 if sys.platform == "darwin" else 1024),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("order", type=Path)
    parser.add_argument("question", type=Path)
    parser.add_argument("--trials", type=int, default=10)
    options = parser.parse_args(arguments)
    print(json.dumps(asyncio.run(converse(options.order, options.question, options.trials))))


if __name__ == "__main__":
    main()
