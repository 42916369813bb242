"""The reporter, with the time between reports so long or so short that it plays no part."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from backchannel.tasks.reporting import LOG_LINES
from backchannel.tasks.runners.reporter import Report, Reporter

WAIT = 10.0
NEVER_S = 3600.0


class Taken:
    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.came = threading.Event()

    def __call__(self, report: Report) -> None:
        self.reports.append(report)
        self.came.set()


def test_the_first_report_is_sent_at_once_and_the_newest_of_the_others_later():
    taken = Taken()
    reporter = Reporter(taken, NEVER_S)
    reporter.progress(0, 9, "steps")
    assert taken.came.wait(WAIT)
    for done in range(1, 10):
        reporter.progress(done, 9, "steps")
    reporter.log("one line")
    assert taken.reports == [Report((0, 9, "steps"), ())]
    reporter.close()
    assert taken.reports[1:] == [Report((9, 9, "steps"), ("one line",))]


def test_without_anything_to_tell_nothing_is_sent():
    taken = Taken()
    Reporter(taken).close()
    assert taken.reports == []


def test_after_the_close_nothing_is_sent():
    taken = Taken()
    reporter = Reporter(taken)
    reporter.close()
    reporter.log("too late")
    reporter.progress(1, 2, "")
    assert taken.reports == []


def test_a_flood_of_lines_keeps_the_newest():
    taken = Taken()
    reporter = Reporter(taken, NEVER_S)
    reporter.log("first")
    assert taken.came.wait(WAIT)
    for number in range(10_000):
        reporter.log(str(number))
    reporter.close()
    assert len(taken.reports) == 2
    assert taken.reports[1].lines == tuple(str(number) for number in range(10_000 - LOG_LINES, 10_000))


def test_a_report_that_cannot_be_sent_ends_nothing():
    def fail(report: Report) -> None:
        raise BrokenPipeError

    reporter = Reporter(fail)
    reporter.progress(1, 2, "")
    reporter.close()


@given(st.lists(st.one_of(st.integers(0, 99), st.text(min_size=1, max_size=3)), max_size=LOG_LINES))
def test_every_line_comes_once_and_in_order_and_the_last_progress_is_the_newest(said: list[int | str]):
    taken = Taken()
    reporter = Reporter(taken, 0.0)
    for item in said:
        if isinstance(item, int):
            reporter.progress(item, None, "")
        else:
            reporter.log(item)
    reporter.close()
    assert [line for report in taken.reports for line in report.lines] == [i for i in said if isinstance(i, str)]
    steps = [report.progress[0] for report in taken.reports if report.progress is not None]
    asked = [item for item in said if isinstance(item, int)]
    assert steps[-1:] == asked[-1:]
    left = iter(asked)
    assert all(step in left for step in steps)
