from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from backchannel.notebook.static_html import (
    MAX_ROWS,
    board_html,
    board_text,
    duration,
    transcript_html,
    transcript_text,
)


def row(**fields: Any) -> dict[str, Any]:
    base = {"id": "1f", "number": 1, "tool": "t", "label": "research solar power", "status": "running"}
    moved = {"fraction": 0.35, "done": 7, "total": 20, "message": "epochs", "eta_s": 12.5, "elapsed_s": 6.7}
    return {**base, **moved, "text": "", "error": "", "logs": [], **fields}


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_running_row_says_how_far_it_is_and_how_long_it_takes() -> None:
    assert board_text([row()]) == (
        "Task 1: research solar power, running, [#######.............] 35 %, 7 of 20, epochs, 6.7 s, 12 s left"
    )
    html = Tags(board_html([row()]))
    assert "progress" in html.names
    for part in ("research solar power", "35 %", "7 of 20", "epochs", "12 s left"):
        assert part in html.text


def test_a_row_without_a_total_has_no_bar() -> None:
    moved = row(fraction=None, total=None, eta_s=None)
    assert "progress" not in Tags(board_html([moved])).names
    assert board_text([moved]) == "Task 1: research solar power, running, 7, epochs, 6.7 s"


def test_a_note_stands_before_what_a_task_reports_and_each_thing_once() -> None:
    tried = row(note="attempt 2 of 3", message="attempt 2 of 3", fraction=None, done=None, eta_s=None)
    assert board_text([tried]) == "Task 1: research solar power, running, attempt 2 of 3, 6.7 s"
    outside = row(note="waits for its result from elsewhere", waits=True, fraction=None, done=None, message="")
    assert "waiting, waits for its result from elsewhere" in Tags(board_html([outside])).text


def test_a_lost_row_says_so_and_what_it_was_run_again_as_and_has_no_button() -> None:
    lost = row(status="lost", note="run again as task 4", error="It was lost.", fraction=None, again=True, eta_s=None)
    html = Tags(board_html([lost]))
    for part in ("lost", "run again as task 4", "It was lost."):
        assert part in html.text
    assert "button" not in html.names
    assert board_text([lost]).startswith("Task 1: research solar power, lost, run again as task 4")


def test_a_finished_row_shows_its_result_and_a_failed_one_its_error() -> None:
    done = row(status="done", fraction=1.0, text="the error fell to 4 %", eta_s=None)
    failed = row(status="failed", error="ValueError: no such dataset", eta_s=None)
    assert board_text([done]).endswith(": the error fell to 4 %")
    assert "Error: ValueError: no such dataset" in Tags(board_html([failed])).text


def test_an_empty_board_says_how_to_start() -> None:
    assert board_text([], "Call train().") == "No runs yet. Call train()."
    assert "Call train()." in board_html([], "Call train().")


def test_only_the_last_rows_are_written_and_the_rest_is_counted() -> None:
    rows = [row(number=number) for number in range(MAX_ROWS + 7)]
    assert board_html(rows).count("<tr>") == MAX_ROWS + 1
    assert "7 earlier runs" in board_html(rows)
    assert len(board_text(rows).splitlines()) == MAX_ROWS + 1


def test_a_conversation_names_who_said_what() -> None:
    captions = [{"role": "user", "text": "how far is it"}, {"role": "assistant", "text": "35 percent"}]
    assert transcript_text(captions) == "You: how far is it\nVoice: 35 percent"
    assert Tags(transcript_html(captions)).text == "You: how far is itVoice: 35 percent"
    assert transcript_text([]) == "Nothing was said yet."


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0.0 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7440, "2 h 4 min"),
        (None, ""),
        (float("nan"), ""),
        (-1.0, ""),
    ],
)
def test_a_length_of_time_is_written_to_be_read(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


_text = st.text(alphabet=st.sampled_from("<>&\"'/ abscript=javascript:onerror"), max_size=60)
_ALLOWED = {"p", "table", "thead", "tbody", "tr", "th", "td", "progress", "span", "strong", "div"}


@given(_text, _text, _text, _text, st.floats() | st.none())
def test_no_text_of_a_task_ever_becomes_markup(
    label: str, message: str, text: str, error: str, share: float | None
) -> None:
    html = Tags(board_html([row(label=label, message=message, text=text, error=error, fraction=share)], hint=label))
    assert set(html.names) <= _ALLOWED
    assert {name for name, _ in html.attributes} <= {"class", "style", "value", "max"}
    assert label in html.text


@given(_text)
def test_no_text_of_a_conversation_ever_becomes_markup(text: str) -> None:
    html = Tags(transcript_html([{"role": "assistant", "text": text}]))
    assert set(html.names) <= _ALLOWED
    assert text in html.text


def test_an_open_question_is_text_after_what_was_said() -> None:
    captions = [{"role": "user", "text": "clean up"}]
    questions = [{"id": "q", "text": "Delete <script>x</script>?", "tool": "delete"}]
    assert transcript_text(captions, "", questions) == (
        "You: clean up\nWaiting for your approval: Delete <script>x</script>?"
    )
    html = Tags(transcript_html([], "", questions))
    assert "script" not in html.names
    assert html.text == "Waiting for your approval: Delete <script>x</script>?"


@pytest.mark.parametrize("text", ["it costs $5 and $6", r"\(x\)", "$$y$$"])
def test_nothing_is_typeset_as_mathematics(text: str) -> None:
    caption = {"role": "user", "text": text, "final": True, "heard": True}
    for html in (transcript_html([caption]), transcript_html([], text), board_html([], text)):
        assert html.startswith('<div class="tex2jax_ignore mathjax_ignore">')
        assert html.endswith("</div>")
