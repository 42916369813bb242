from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from benchmarks import background_stage, runners, scale, tool_storm
from benchmarks.__main__ import main
from benchmarks.agents_process import BareAgent, BareSide, converse
from benchmarks.background import Background
from benchmarks.background_sides import PoolBackground
from benchmarks.background_stage import Script, Stage, plain_body
from benchmarks.background_voice import BackgroundVoice
from benchmarks.board import BoardLoad
from benchmarks.browser import BrowserHop
from benchmarks.cold_import import ColdImport
from benchmarks.events import Events
from benchmarks.figures import Figure, Target, UnavailableError, percentile, target_text
from benchmarks.hundred_agents import HundredAgents
from benchmarks.interruption import Interruption
from benchmarks.local_model import LocalModelTalk
from benchmarks.process import measured_alone, resident_mb
from benchmarks.progress_load import ProgressLoad
from benchmarks.rates import events_per_second
from benchmarks.registry import SUBJECTS, Subject
from benchmarks.report import Outcome, markdown, to_json
from benchmarks.runners import Runners
from benchmarks.scale import Scale
from benchmarks.sides import Side, our_side
from benchmarks.submit import Submit
from benchmarks.tool_round_trip import ToolRoundTrip
from benchmarks.tool_storm import ToolStorm
from benchmarks.transcripts import Dialogue, Transcripts
from hypothesis import given
from hypothesis import strategies as st

from tests.support.virtual_time import virtual_time

SMALL: dict[str, Subject] = {
    "events": Events(chunks=20),
    "tool_round_trip": ToolRoundTrip(calls=2),
    "interruption": Interruption(trials=2, chunks=3),
    "transcripts": Transcripts(exchanges=3),
    "tool_storm": ToolStorm(calls=7),
    "hundred_agents": HundredAgents(agents=3, seconds=0.2),
    "submit": Submit(calls=5),
    "scale": Scale(many=40, few=20),
    "background": Background(trials=1, together=2),
    "background_voice": BackgroundVoice(trials=1),
    "runners": Runners(calls=2, workers=1),
    "import": ColdImport(processes=1),
    "local_model": LocalModelTalk(trials=1),
    "board": BoardLoad(tasks=3, few=1, queued=2, rate=10, seconds=0.5),
    "progress_load": ProgressLoad(tasks=5, rate=20, seconds=0.5),
    "browser": BrowserHop(seconds=1.0, chunks_ms=(40,)),
}
MARKS = {"board": pytest.mark.kernel, "browser": pytest.mark.browser}


def test_every_subject_has_a_small_size_here() -> None:
    assert set(SMALL) == set(SUBJECTS)
    assert {name: type(SMALL[name]) for name in SMALL} == SUBJECTS


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in SMALL])
# The peer's imports warn.
@pytest.mark.filterwarnings("default")
def test_a_subject_measures_something_in_each_run(name: str) -> None:
    try:
        figures = SMALL[name].measure(1)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    assert figures
    for figure in figures:
        assert len(figure.ours) == 1
        assert figure.value >= 0
        assert all(value > 0 for value in figure.peer)
    assert any(figure.target is not None for figure in figures)


def test_a_ratio_is_the_median_of_the_ratios_within_a_run() -> None:
    figure = Figure("x", "ms", [1.0, 8.0, 3.0], [2.0, 2.0, 3.0], "peer", Target(1.0, ratio=True))
    assert figure.ratio == 1.0
    assert (figure.value, figure.peer_value) == (3.0, 2.0)
    assert figure.met is True


@pytest.mark.parametrize(
    ("target", "met", "text"),
    [
        (Target(2.0), True, "≤ 2 ms"),
        (Target(1.9), False, "≤ 1.9 ms"),
        (Target(2.1, at_least=True), False, "≥ 2.1 ms"),
        (Target(0.5, ratio=True), True, "≤ 0.5x"),
        (Target(1.5, ratio=True, at_least=True), False, "≥ 1.5x"),
    ],
)
def test_a_target_is_met_or_not(target: Target, met: bool, text: str) -> None:
    figure = Figure("x", "ms", [2.0], [4.0], "peer", target)
    assert figure.met is met
    assert target_text(figure) == text


def test_a_figure_without_a_target_is_neither_met_nor_missed() -> None:
    figure = Figure("x", "ms", [2.0])
    assert figure.met is None
    assert figure.ratio is None
    assert Outcome("s", [figure]).met


@pytest.mark.parametrize(
    "fields",
    [{"ours": []}, {"ours": [1.0], "peer": [1.0, 2.0]}, {"ours": [1.0], "target": Target(1.0, ratio=True)}],
)
def test_a_figure_that_says_nothing_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="x: "):
        Figure("x", "ms", **fields)  # type: ignore[arg-type]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=100), st.floats(0.1, 100))
def test_a_percentile_is_one_of_the_values_and_enough_do_not_exceed_it(values: list[float], per_cent: float) -> None:
    found = percentile(values, per_cent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * per_cent / 100 - 1e-6


def test_what_cannot_be_measured_says_why_and_counts_as_missed() -> None:
    outcome = Outcome("browser", reason="there is no Chromium", load=(0.5, 0.6))
    assert not outcome.met
    assert "| browser | there is no Chromium |" in markdown([outcome], 5)
    assert to_json([outcome], 5)["subjects"]["browser"]["not_run"] == "there is no Chromium"


def test_the_report_has_each_run_and_names_the_load() -> None:
    figure = Figure("cold | import", "ms", [100.0, 120.0], [400.0, 300.0], "peer 1.0", Target(0.4, ratio=True))
    outcome = Outcome("import", [figure], load=(0.25, 1.5))
    assert "| import | cold \\| import | 110 ms | 350 ms (peer 1.0) | 0.33x | ≤ 0.4x | yes | 0.2 to 1.5 |" in markdown(
        [outcome], 2
    )
    report = json.loads(json.dumps(to_json([outcome], 2)))
    assert report["subjects"]["import"]["load"] == [0.25, 1.5]
    assert report["subjects"]["import"]["figures"][0]["ours"] == [100.0, 120.0]


def test_an_unknown_name_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "no such benchmark: speed; known are events" in capsys.readouterr().err


def test_a_process_of_its_own_that_fails_says_what_went_wrong() -> None:
    with pytest.raises(RuntimeError, match=r"agents_process in a process of its own failed:[\s\S]*invalid choice"):
        measured_alone("agents_process", "nobody")


def test_the_memory_of_this_process_is_a_plausible_number_of_megabytes() -> None:
    assert 5 < resident_mb() < 20_000


class DeafSide(BareSide):
    """Loses the first chunk of the microphone of its second agent; the first one only warms up."""

    def __init__(self) -> None:
        self.agents = 0

    def agent(self, feed: Any, tools: Any, result: Any, heard: Callable[[], object]) -> BareAgent:
        self.agents += 1
        chunks = iter(range(10_000))
        deaf = self.agents == 2
        return BareAgent(feed, lambda: None if deaf and next(chunks) == 0 else heard())


@virtual_time
async def test_chunks_that_nothing_holds_up_are_not_late() -> None:
    found = await converse(BareSide(), agents=5, seconds=0.4)
    assert found["late_p95_ms"] == pytest.approx(0.0, abs=1e-6)
    assert found["late_most_ms"] == pytest.approx(0.0, abs=1e-6)


@virtual_time
async def test_a_chunk_that_never_arrives_is_not_passed_over() -> None:
    with pytest.raises(RuntimeError, match="1 conversations lack chunks"):
        await converse(DeafSide(), agents=2, seconds=0.4)


class Ended:
    """A side whose conversation is over before anything is answered, and whose history stays empty."""

    def __init__(self, side: Side) -> None:
        self._side = side

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side, name)

    def agent(self, feed: Any, *rest: Any) -> Any:
        async def opening() -> AsyncIterator[Any]:
            for event in self.opening("r1"):
                yield event

        return self._side.agent(opening, *rest)


def test_calls_that_are_never_answered_are_reported() -> None:
    with pytest.raises(RuntimeError, match="ended after 0 of 3 results"):
        asyncio.run(tool_storm._per_call(Ended(our_side()), tool_storm.measure, 3, together=False))


def test_a_history_that_lacks_what_was_said_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    side = our_side()
    made = side.agent

    def forgetful(feed: Any) -> Any:
        agent = made(feed)
        agent.messages = type("Forgetful", (list,), {"append": lambda self, message: None})()
        return agent

    monkeypatch.setattr(side, "agent", forgetful)
    with pytest.raises(RuntimeError, match="0 messages of the history are not the 4 transcripts"):
        asyncio.run(events_per_second(side, Dialogue(), 2, turns=False))


def test_what_a_stage_measures_is_from_the_request_to_the_last_body_and_from_its_end_to_the_last_result() -> None:
    stage = Stage(2)
    stage.asked = 10.0
    stage.begun += [10.002, 10.003]
    stage.ended += [11.0, 10.5]
    assert not stage.hear("nothing of it", 11.5)
    assert stage.hear(f"a result: {stage.finding('1')}", 12.0)
    assert not stage.all_told.is_set()
    assert not stage.hear(f"once more: {stage.finding('1')}", 12.5)
    assert stage.hear(stage.finding("0"), 13.0)
    assert stage.all_told.is_set()
    assert (stage.asked_to_body, stage.finished_to_told) == (pytest.approx(3.0), pytest.approx(2000.0))
    assert stage.deliveries == 2


@pytest.mark.parametrize(
    ("wait", "what"),
    [
        (lambda stage: stage.open(0.0), "2 background tasks were not begun"),
        (Stage.wait_told, "2 of 2 results did not reach the model"),
    ],
)
def test_a_trial_that_does_not_go_on_is_reported(
    monkeypatch: pytest.MonkeyPatch, wait: Callable[[Stage], None], what: str
) -> None:
    monkeypatch.setattr(background_stage, "LIMIT_S", 0.0)
    with pytest.raises(RuntimeError, match=what):
        wait(Stage(2))


async def test_a_script_asks_says_that_it_began_and_hears_what_is_new() -> None:
    script = Script()
    stage = script.stage = Stage(2)
    messages = [{"role": "user", "content": [{"text": "Please."}]}]
    asked = [event async for event in script.events(messages)]
    assert [event["contentBlockStart"]["start"]["toolUse"]["name"] for event in asked[1::3][:2]] == ["research"] * 2
    assert asked[-1] == {"messageStop": {"stopReason": "tool_use"}}
    assert stage.asked > 0
    messages += [{"role": "user", "content": [{"toolResult": {"content": [{"text": "Started."}]}}]}]
    assert not stage.acknowledged.is_set()
    assert [event async for event in script.events(messages)][-1] == {"messageStop": {"stopReason": "end_turn"}}
    assert stage.acknowledged.is_set()
    # One message for each result, as some agents give them, in one call of the model.
    messages += [{"role": "user", "content": [{"text": stage.finding(topic)}]} for topic in ("1", "0")]
    assert "They are done." in str([event async for event in script.events(messages)])
    assert stage.deliveries == 1
    assert stage.all_told.is_set()


def test_the_pool_tells_no_model() -> None:
    side = PoolBackground(plain_body, 1)
    try:
        stage = Stage(1)
        side.run(stage)
    finally:
        side.close()
    assert "tells no model" in side.name
    assert 0 < stage.asked < stage.begun[0] < stage.ended[0] < stage.told


def test_a_runner_that_brings_something_else_is_reported() -> None:
    with pytest.raises(RuntimeError, match="came back instead of"):
        runners._at_once(lambda number: lambda: number + 1, 2)


def test_figures_of_scale_compare_a_task_among_many_with_one_among_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        scale, "measured_alone", lambda module, tasks: dict.fromkeys((key for _, key, _ in scale.KINDS), float(tasks))
    )
    for figure in Scale(many=300, few=100).measure(2):
        assert (figure.ratio, figure.met) == (3.0, False)
