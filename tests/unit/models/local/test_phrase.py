"""What the embedded model says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.events import TaskFinished, TaskStarted, TaskStatus
from backchannel.messages import ToolResultStatus
from backchannel.models.local import phrase
from backchannel.models.local.grammar import Grammar
from backchannel.models.local.understand import understand

from .tools import ALL, NOTE, RESEARCH, TRAIN, spec


def finished(
    status: TaskStatus = "done", text: str = "It works. It is cheap. It lasts.", **more: object
) -> TaskFinished:
    facts = {"task_id": "ab12cd34", "number": 1, "tool_name": "research", "arguments": {"topic": "solar power"}}
    return TaskFinished(**(facts | {"status": status, "text": text, "elapsed_s": 3.0} | more))  # type: ignore[arg-type]


def test_a_start_is_acknowledged_with_what_and_the_number():
    task = TaskStarted("ab12cd34", 1, "research", {"topic": "solar power"})
    assert phrase.acknowledgement(task) == "Started research solar power, task one."


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "one second"), (45.4, "forty five seconds"), (120, "two minutes"), (7200, "two hours")],
)
def test_a_known_duration_is_told(seconds: float, said: str):
    task = TaskStarted("ab12cd34", 12, "train_model", {"epochs": 5, "fast": True}, seconds)
    assert phrase.acknowledgement(task) == (
        f"Started train model epochs 5 with fast, task twelve. It will take about {said}."
    )


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("done", "By the way, research solar power is done. It works. It is cheap. The rest is on the board."),
        ("failed", "By the way, research solar power failed: It works. It is cheap. The rest is on the board."),
        ("cancelled", "By the way, research solar power was cancelled."),
        ("timed_out", "By the way, research solar power ran out of time and was stopped."),
    ],
)
def test_an_end_is_told_with_the_beginning_of_its_result(status: TaskStatus, said: str):
    assert phrase.announcement([finished(status)]) == said


def test_several_ends_are_told_in_one_go():
    said = phrase.announcement([finished(), finished("failed", "No disk."), finished("cancelled")])
    assert said == (
        "By the way, three tasks are finished. Research solar power is done. It works. The rest is on the board."
        " Research solar power failed: No disk. Research solar power was cancelled."
    )


def test_what_was_perhaps_told_before_is_told_as_such():
    assert phrase.announcement([finished("cancelled", perhaps_told=True)]) == (
        "You may have heard this already. Research solar power was cancelled."
    )


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        ("success", [{"text": "It is 35% done, 12 s left"}], "It is 35 percent done, 12 seconds left."),
        (
            "success",
            [{"json": {"errorRate": 0.25, "tags": ["a", "b"], "ok": True}}],
            "error rate 0.25, tags a, b, ok yes.",
        ),
        ("success", [{"image": {}}], "There is something to see on the board."),
        ("success", [], "Done."),
        ("error", [{"text": "Error: no such table"}], "That did not work. Error: no such table."),
        ("error", [], "That did not work."),
    ],
)
def test_a_result_is_said(status: ToolResultStatus, content: list[dict[str, object]], said: str):
    assert phrase.result_text({"toolUseId": "1", "status": status, "content": content}) == said  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# Result\n- **good** and `fast`\n- [see](http://x.org/a)", "Result. good and fast. see."),
        ("See https://example.org/very/long?x=1 now", "See a link now."),
        ("<b>bold</b> move", "bold move."),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a ,  b. 1 ,  2.".replace(" ,  ", " , ")),
        ("error 0.0412345678 of 3.14159265", "error 0.0412 of 3.14."),
        ("```python\nx = 1\n```", "There is some code."),
        ("Dr. Smith has 3.5 items. Yes.", "Dr. Smith has 3.5 items. Yes."),
        ("", ""),
    ],
)
def test_markup_addresses_and_endless_numbers_are_not_read_out(text: str, said: str):
    assert phrase.speakable(text) == said


def test_a_long_text_is_cut_at_a_sentence_and_the_board_has_the_rest():
    said = phrase.speakable("This is a sentence. " * 50, limit=100)
    assert said == "This is a sentence. " * 5 + "The rest is on the board."


def test_a_text_without_any_end_is_cut_at_a_word():
    said = phrase.speakable("word " * 500, limit=50)
    assert said.startswith("word word")
    assert said.endswith("word. The rest is on the board.")
    assert len(said) < 90


@given(st.text(max_size=2000), st.integers(20, 400))
def test_whatever_a_tool_returns_is_bounded(text: str, limit: int):
    assert len(phrase.speakable(text, limit=limit)) <= limit + 30


@given(st.text(max_size=2000))
def test_sentences_are_short_and_lose_no_word(text: str):
    parts = phrase.sentences(text)
    assert all(0 < len(part) <= 220 for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_sentences_are_split_where_they_end():
    assert phrase.sentences('He said "no." Then e.g. Smith left at 3.5. Why?') == [
        'He said "no."', "Then e.g. Smith left at 3.5.", "Why?",
    ]  # fmt: skip


def test_help_names_commands_that_are_understood():
    grammar = Grammar(ALL)
    said = phrase.help_text(grammar)
    assert said.startswith("You can say: research solar power, train model sales or write note.")
    assert "ask how far it is" in said
    for tool in grammar.tools:
        assert understand(phrase.example(tool), grammar).tool == tool.name


def test_help_names_other_values_of_the_first_tool_and_counts_the_rest():
    topics = ["solar power", "wind", "waves", "tides", "coal", "gas"]
    said = phrase.help_text(Grammar([spec("research", topic={"enum": topics})]))
    assert "Instead of solar power, also wind, waves, tides or two others." in said


def test_help_counts_the_tools_that_it_does_not_name():
    assert "There is one more tool." in phrase.help_text(Grammar([spec(f"tool_{n}") for n in range(4)]))
    assert "There are two more tools." in phrase.help_text(Grammar([spec(f"tool_{n}") for n in range(5)]))


def test_help_without_tools_says_how_to_get_one():
    assert "Declare one in a cell" in phrase.help_text(Grammar())


def test_a_missing_parameter_is_asked_for_by_its_kind():
    research, train, note = Grammar([RESEARCH, TRAIN, NOTE]).tools
    assert phrase.ask_for(research, research.slots[0]) == (
        "What topic for research? For example solar power, wind energy or quantum computing."
    )
    assert (
        phrase.ask_for(train, train.slots[0])
        == "What dataset for train model? You can say sales, weather or customers."
    )
    assert phrase.ask_for(train, train.slots[1]) == "What epochs for train model?"
    assert phrase.ask_for(train, train.slots[2]) == "Train model with or without fast?"
    assert "please type it" in phrase.ask_for(note, note.slots[0])


@given(
    st.dictionaries(st.text(max_size=10), st.text(max_size=200) | st.integers() | st.booleans() | st.none(), max_size=5)
)
def test_a_label_is_short(arguments: dict[str, object]):
    assert len(phrase.label("research", arguments)) <= 60


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        (
            "The mean error is 4 percent.",
            "By the way, train is done. The mean error is 4 percent. The rest is on the board.",
        ),
        ("", "By the way, train is done. The rest is on the board."),
    ],
)
def test_the_note_for_models_that_a_result_is_not_all_is_not_said(text: str, spoken: str):
    note = f"{TaskFinished.NOT_ALL}task 1, id ab12cd34, keeps the whole result; look_at_result shows more of it.)"
    task = TaskFinished("ab12cd34", 1, "train", {}, "done", f"{text}{note}", 3.0)
    assert phrase.announcement((task,)) == spoken
    result: Any = {"toolUseId": "1", "status": "success", "content": [{"text": f"{text}{note}"}]}
    assert phrase.result_text(result) == spoken.removeprefix("By the way, train is done. ")


def test_an_older_run_is_called_so():
    task = TaskFinished("ab12cd34", 1, "train", {}, "done", "Fine.", 3.0, superseded_by="ab12cd35")
    assert phrase.announcement((task,)) == "By the way, the earlier train is done. Fine."


def test_of_very_many_tasks_the_first_are_told():
    tasks = [TaskFinished(f"{n:08x}", n, f"work_{n}", {}, "done", "Fine.", 3.0) for n in range(32)]
    spoken = phrase.announcement(tasks)
    assert spoken.startswith("By the way, thirty two tasks are finished. Work zero is done. Fine.")
    assert spoken.endswith("And twenty four more. The rest is on the board.")
    assert spoken.count("is done.") == 8
