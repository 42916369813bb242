"""Time left."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.tasks.eta import SAMPLES, Pace


def paced(*reports: tuple[float, float]) -> Pace:
    pace = Pace()
    for at, done in reports:
        pace = pace.add(at, done)
    return pace


def test_nothing_is_known_before_the_first_unit() -> None:
    assert Pace().remaining_s(0, 10, 0, 5, 0) is None
    assert paced((0, 0)).remaining_s(0, 10, 0, 5, 0) is None


def test_one_report_and_the_start_give_a_first_guess() -> None:
    assert paced((10, 2)).remaining_s(2, 10, reported=10, now=10, started=0) == 40


def test_an_even_pace_is_known_exactly() -> None:
    pace = paced(*((second, second) for second in range(8)))
    assert pace.remaining_s(7, 20, reported=7, now=7, started=0) == pytest.approx(13)


def test_it_counts_down_between_reports() -> None:
    pace = paced((0, 0), (10, 1), (20, 2))
    assert pace.remaining_s(2, 5, reported=20, now=24, started=0) == pytest.approx(26)


def test_it_grows_when_the_next_report_is_overdue() -> None:
    pace = paced((0, 0), (10, 1), (20, 2))
    later, much_later = (pace.remaining_s(2, 5, 20, now, 0) for now in (40, 80))
    assert later is not None
    assert much_later is not None
    assert much_later > later >= 20


def test_one_long_pause_does_not_upset_it() -> None:
    even = [(float(second), float(second)) for second in range(10)]
    pause = [(at + 6, done) for at, done in even[5:]]
    pace = paced(*even[:5], *pause)
    assert pace.remaining_s(9, 19, 15, 15, 0) == pytest.approx(10)


def test_a_slow_start_is_forgotten() -> None:
    pace = paced((0, 0), (3, 1), *((3 + 0.5 * step, 1 + step) for step in range(1, 15)))
    assert pace.remaining_s(15, 25, 10, 10, 0) == pytest.approx(5)


def test_going_back_starts_anew() -> None:
    pace = paced((0, 0), (1, 5), (2, 10), (3, 0))
    assert pace.samples == ((3, 0),)
    assert pace.rate is None


def test_nothing_is_left_at_the_end() -> None:
    assert paced((0, 0), (1, 5)).remaining_s(5, 5, 1, 1, 0) == 0
    assert paced((0, 0), (1, 5)).remaining_s(7, 5, 1, 1, 0) == 0


def test_a_hundred_thousand_reports_leave_few_samples_and_cost_few_additions() -> None:
    pace, added = Pace(), 0
    for report in range(100_000):
        if pace.wants(report * 0.036, report):
            added += 1
            pace = pace.add(report * 0.036, report)
    assert len(pace.samples) <= SAMPLES
    assert added < 200
    assert pace.rate == pytest.approx(1 / 0.036, rel=0.01)


REPORTS = st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e6)), max_size=60).map(
    lambda reports: sorted(reports, key=lambda report: report[0])
)


@given(REPORTS, st.floats(1, 1e6), st.floats(0, 1e5))
def test_time_left_is_never_negative_nor_nonsense(
    reports: list[tuple[float, float]], total: float, wait: float
) -> None:
    pace = paced(*reports)
    at, done = reports[-1] if reports else (0.0, 0.0)
    left = pace.remaining_s(done, total, at, at + wait, 0.0)
    assert left is None or (left >= 0 and math.isfinite(left))
    assert len(pace.samples) <= SAMPLES


@given(st.floats(0.1, 100), st.integers(2, 300), st.floats(0.1, 60))
def test_an_even_pace_gives_the_same_answer_whatever_the_spacing(rate: float, steps: int, gap: float) -> None:
    pace = paced(*((step * gap, step * gap * rate) for step in range(steps)))
    at, done = (steps - 1) * gap, (steps - 1) * gap * rate
    left = pace.remaining_s(done, done + 10 * rate, at, at, 0.0)
    assert left == pytest.approx(10, rel=1e-3)
