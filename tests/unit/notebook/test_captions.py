from __future__ import annotations

from backchannel.notebook.captions import MAX_CHARS, Captions


def test_what_the_user_says_grows_in_one_caption_until_it_is_final() -> None:
    captions = Captions()
    first = captions.said("user", "research ", final=False)
    second = captions.said("user", "solar", final=False)
    last = captions.said("user", "research solar power", final=True)
    assert first["id"] == second["id"] == last["id"]
    assert [op["text"] for op in (first, second, last)] == ["research ", "research solar", "research solar power"]
    assert (first["final"], last["final"], last["heard"]) == (False, True, True)
    assert captions.said("user", "again", final=True)["id"] != last["id"]


def test_a_model_that_gives_all_so_far_is_not_added_up() -> None:
    captions = Captions()
    captions.said("user", "research", final=False, whole="research")
    assert captions.said("user", "solar", final=False, whole="research solar")["text"] == "research solar"


def test_what_the_voice_says_is_unheard_until_its_response_was_played() -> None:
    captions = Captions()
    captions.response_started("r1")
    op = captions.said("assistant", "Started.", final=True)
    assert op["heard"] is False
    assert captions.heard("r1") == [{**op, "heard": True}]
    assert captions.heard("r1") == []


def test_an_interrupted_response_stays_unheard_and_the_next_is_a_new_caption() -> None:
    captions = Captions()
    captions.response_started("r1")
    cut = captions.said("assistant", "Well, ", final=False)
    assert captions.interrupted(["r1"]) == [{**cut, "final": True}]
    captions.response_started("r2")
    assert captions.said("assistant", "Yes?", final=False)["id"] != cut["id"]
    assert captions.heard("r1") == []


def test_two_sentences_that_are_final_each_are_both_marked_heard() -> None:
    captions = Captions()
    captions.response_started("r1")
    captions.said("assistant", "One.", final=True)
    captions.said("assistant", "Two.", final=True)
    assert [op["text"] for op in captions.heard("r1")] == ["One.", "Two."]


def test_a_task_is_noted_when_it_starts_and_when_it_ends_but_not_on_the_way() -> None:
    captions = Captions()
    task = {"id": "1f", "number": 1, "label": "research solar power", "status": "queued"}
    said = []
    for status in ("queued", "running", "running", "done", "done"):
        said += [op["text"] for op in captions.task({**task, "status": status})]
    assert said == ["Task 1, research solar power, has started.", "Task 1, research solar power, is done."]


def test_a_caption_is_bounded() -> None:
    assert len(Captions().typed("x" * 50_000)["text"]) == MAX_CHARS


def test_an_answer_that_was_heard_whole_is_not_marked_by_a_later_interruption() -> None:
    captions = Captions()
    captions.response_started("r1")
    first = captions.said("assistant", "One.", final=True)
    captions.response_started("r2")
    second = captions.said("assistant", "Two", final=False)
    assert captions.interrupted([]) == [{**second, "final": True}]
    assert captions.heard("r1") == [{**first, "heard": True}]


def test_what_nobody_plays_is_bounded() -> None:
    captions = Captions()
    for number in range(5000):
        captions.said("assistant", f"sentence {number}", final=True)
    assert sum(map(len, captions._spoken.values())) <= 200
    for number in range(1000):
        captions.response_started(f"r{number}")
        captions.said("assistant", f"sentence {number}", final=True)
    assert sum(map(len, captions._spoken.values())) <= 400
    assert [op["text"] for op in captions.heard("r999")] == ["sentence 999"]
    assert captions.dropped({"r998"})[0]["heard"] is False
    assert captions.heard("r998") == []


def test_a_text_without_an_end_is_bounded() -> None:
    captions = Captions()
    for _ in range(10_000):
        op = captions.said("assistant", "word ", final=False)
    assert len(op["text"]) == MAX_CHARS
    assert len(captions._open["assistant"][1]) <= MAX_CHARS + 1
