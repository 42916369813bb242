from __future__ import annotations

from typing import Any

from backchannel.notebook.saved_output import SavedOutput
from backchannel.notebook.wire import VIEW_MIMETYPE, Output, ToPage

WIDGET = "application/vnd.jupyter.widget-view+json"
RUNNING = {"settled": False, "pages": True, "lab": True, "keeps": False}
SETTLED = {"settled": True, "pages": True, "lab": True, "keeps": False}
STOCK_RUNNING = {"settled": False, "pages": True, "lab": False, "keeps": False}
STOCK_SETTLED = {"settled": True, "pages": True, "lab": False, "keeps": False}
KEEPS_RUNNING = {"settled": False, "pages": True, "lab": False, "keeps": True}
KEEPS_SETTLED = {"settled": True, "pages": True, "lab": False, "keeps": True}


def output(told: list[ToPage] | None = None) -> tuple[SavedOutput, list[tuple[dict[str, Any], str, bool]]]:
    written: list[tuple[dict[str, Any], str, bool]] = []
    tell = [].append if told is None else told.append
    return SavedOutput("m1", lambda: ("<p>html</p>", "text"), lambda *call: written.append(call), tell), written


def test_it_is_shown_as_live_view_widget_html_and_text() -> None:
    out, written = output()
    out.show(1.0)
    data, display_id, update = written[0]
    assert (display_id, update) == (out.display_id, False)
    assert data["text/html"] == "<p>html</p>"
    assert data["text/plain"] == "text"
    assert data[VIEW_MIMETYPE] == {"model_id": "m1"}
    assert data[WIDGET]["model_id"] == "m1"


def test_with_our_extension_it_is_renewed_two_seconds_after_the_last_time_and_sooner_when_nothing_runs() -> None:
    out, written = output()
    out.show(10.0)
    assert out.next_due(**RUNNING) is None
    out.changed()
    assert out.next_due(**RUNNING) == 12.0
    assert out.next_due(**SETTLED) == 10.2
    out.write(12.0, **RUNNING)
    assert written[-1][2] is True
    assert WIDGET in written[-1][0]
    assert out.next_due(**RUNNING) is None


def test_a_page_without_our_extension_keeps_its_widget_while_something_runs() -> None:
    out, _ = output()
    out.show(10.0)
    out.changed()
    assert out.next_due(**STOCK_RUNNING) is None


def test_a_page_without_our_extension_is_left_html_when_nothing_runs_and_gets_the_widget_back_later() -> None:
    out, written = output()
    out.show(10.0)
    out.changed()
    assert out.next_due(**STOCK_SETTLED) == 10.2
    out.write(10.2, **STOCK_SETTLED)
    assert set(written[-1][0]) == {"text/plain", "text/html"}
    assert out.next_due(**STOCK_SETTLED) is None
    out.changed()
    assert out.next_due(**STOCK_RUNNING) == 0.0
    out.write(11.0, **STOCK_RUNNING)
    assert WIDGET in written[-1][0]


def test_without_any_page_html_and_widget_are_both_kept() -> None:
    out, written = output()
    out.show(10.0)
    out.changed()
    out.write(10.2, settled=True, pages=False, lab=False, keeps=False)
    assert {WIDGET, "text/html"} <= set(written[-1][0])


def test_what_was_never_shown_is_never_renewed() -> None:
    out, _ = output()
    out.changed()
    assert not out.shown
    assert out.next_due(**SETTLED) is None


def test_each_show_is_an_output_of_its_own() -> None:
    out, written = output()
    out.show(1.0)
    out.show(2.0)
    assert written[0][1] != written[1][1]


def test_a_page_that_keeps_outputs_is_given_them_at_once_and_then_every_two_seconds() -> None:
    told: list[ToPage] = []
    out, written = output(told)
    out.show(10.0)
    assert out.next_due(**KEEPS_RUNNING) == 0.0
    out.write(10.1, **KEEPS_RUNNING)
    data = {"text/plain": "text", "text/html": "<p>html</p>", VIEW_MIMETYPE: {"model_id": "m1"}}
    assert told == [Output("", out.display_id, data)]
    assert out.next_due(**KEEPS_RUNNING) is None
    out.changed()
    assert out.next_due(**KEEPS_RUNNING) == 12.1
    assert out.next_due(**KEEPS_SETTLED) == 10.1 + out.SETTLE_S
    out.write(12.1, **KEEPS_SETTLED)
    # The widget stays where it is.
    assert VIEW_MIMETYPE in told[-1].data  # type: ignore[union-attr]
    assert len(written) == 1


def test_a_page_that_comes_is_given_the_output_though_nothing_changed() -> None:
    out, _ = output()
    out.show(10.0)
    out.write(10.1, **KEEPS_SETTLED)
    assert out.next_due(**KEEPS_SETTLED) is None
    out.page_came()
    assert out.next_due(**KEEPS_SETTLED) == 0.0
    out.write(11.0, **KEEPS_SETTLED)
    out.show(20.0)
    assert out.next_due(**KEEPS_SETTLED) == 0.0


def test_at_its_end_it_leaves_what_was_shown_last_without_a_widget_everywhere() -> None:
    told: list[ToPage] = []
    out, written = output(told)
    out.show(10.0)
    out.leave(11.0)
    left = {"text/plain": "text", "text/html": "<p>html</p>"}
    assert written[-1] == (left, out.display_id, True)
    assert told == [Output("", out.display_id, left)]
