"""Delivery: prompts and results reach an agent one invocation at a time, each once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.agents.delivery import MOST_RESULTS, Delivery, PromptTurn, ResultsTurn, results_text
from backchannel.tasks import AsyncTaskResult


def result(name: str, value: object = "fine", error: BaseException | None = None) -> AsyncTaskResult:
    return AsyncTaskResult(name, "train", {"data": name}, value, error, 1.5)


def ids(turn: object) -> list[str]:
    assert isinstance(turn, ResultsTurn)
    return [found.task_id for found in turn.results]


def test_a_prompt_goes_to_an_idle_agent_at_once():
    delivery: Delivery[str] = Delivery(0.1)
    delivery.asked("hello")
    assert delivery.next(0) == PromptTurn("hello")
    assert delivery.busy


def test_while_a_turn_is_under_way_there_is_no_other():
    delivery: Delivery[str] = Delivery(0.1)
    delivery.asked("one")
    delivery.asked("two")
    delivery.next(0)
    delivery.arrived(result("a"), 0)
    assert delivery.next(100) is None


def test_the_only_result_waits_for_nobody():
    delivery: Delivery[str] = Delivery(10)
    delivery.expect("a")
    delivery.arrived(result("a"), 0)
    assert ids(delivery.next(0)) == ["a"]


def test_a_result_waits_for_those_of_tasks_that_run_but_not_longer_than_it_may():
    delivery: Delivery[str] = Delivery(0.5)
    delivery.expect("a")
    delivery.expect("slow")
    delivery.arrived(result("a"), 1.0)
    assert delivery.next(1.4) is None
    assert delivery.wake_at() == 1.5
    assert ids(delivery.next(1.5)) == ["a"]


def test_the_last_of_several_results_takes_the_others_along():
    delivery: Delivery[str] = Delivery(60)
    for name in "abc":
        delivery.expect(name)
    delivery.arrived(result("a"), 0)
    delivery.arrived(result("b"), 0)
    assert delivery.next(0) is None
    delivery.arrived(result("c"), 0)
    assert ids(delivery.next(0)) == ["a", "b", "c"]


def test_a_result_that_is_urgent_waits_for_no_other():
    delivery: Delivery[str] = Delivery(60)
    delivery.expect("slow")
    delivery.arrived(result("a"), 0, at_once=True)
    assert ids(delivery.next(0)) == ["a"]


def test_results_that_come_during_a_turn_go_together_after_it():
    delivery: Delivery[str] = Delivery(0.1)
    delivery.asked("hello")
    delivery.next(0)
    delivery.arrived(result("a"), 1)
    delivery.arrived(result("b"), 2)
    delivery.ended()
    assert ids(delivery.next(3)) == ["a", "b"]
    delivery.ended()
    assert delivery.quiet


def test_prompts_and_results_take_turns():
    delivery: Delivery[str] = Delivery(0)
    for prompt in ("one", "two"):
        delivery.asked(prompt)
    delivery.arrived(result("a"), 0)
    turns = []
    while turn := delivery.next(0):
        turns.append(type(turn).__name__)
        if len(turns) == 2:
            delivery.arrived(result("b"), 0)
        delivery.ended()
    assert turns == ["PromptTurn", "ResultsTurn", "PromptTurn", "ResultsTurn"]


def test_what_the_agent_did_not_take_is_owed_and_waits_for_the_next_occasion():
    delivery: Delivery[str] = Delivery(0)
    delivery.arrived(result("a"), 0)
    delivery.next(0)
    delivery.ended(failed=True)
    assert [found.task_id for found in delivery.owed] == ["a"]
    assert delivery.next(1000) is None
    assert delivery.quiet
    delivery.arrived(result("b"), 1000)
    again = delivery.next(1000)
    assert again == ResultsTurn((result("a"), result("b")), frozenset({"a"}))


def test_a_result_that_came_during_a_failed_turn_is_not_stranded():
    delivery: Delivery[str] = Delivery(0)
    delivery.arrived(result("a"), 0)
    delivery.next(0)
    delivery.arrived(result("b"), 0)
    delivery.ended(failed=True)
    assert ids(delivery.next(0)) == ["a", "b"]


def test_after_a_prompt_that_was_answered_kept_results_are_tried_again():
    delivery: Delivery[str] = Delivery(0)
    delivery.arrived(result("a"), 0)
    delivery.next(0)
    delivery.ended(failed=True)
    delivery.asked("still there?")
    assert isinstance(delivery.next(0), PromptTurn)
    delivery.ended()
    assert ids(delivery.next(0)) == ["a"]


def test_after_a_prompt_that_failed_kept_results_stay_and_new_ones_go():
    delivery: Delivery[str] = Delivery(0)
    delivery.arrived(result("a"), 0)
    delivery.next(0)
    delivery.ended(failed=True)
    delivery.asked("still there?")
    delivery.next(0)
    delivery.ended(failed=True)
    assert delivery.next(0) is None
    delivery.asked("and now?")
    delivery.next(0)
    delivery.arrived(result("b"), 0)
    delivery.ended(failed=True)
    assert ids(delivery.next(0)) == ["a", "b"]


def test_a_result_is_taken_once():
    delivery: Delivery[str] = Delivery(0)
    assert delivery.arrived(result("a"), 0)
    assert not delivery.arrived(result("a"), 0)
    delivery.next(0)
    delivery.ended()
    assert not delivery.arrived(result("a"), 0)
    assert delivery.next(0) is None


def test_a_result_that_is_owed_no_more_is_not_told():
    delivery: Delivery[str] = Delivery(1.0)
    for name in ("a", "b"):
        delivery.arrived(result(name), 0.0)
    delivery.dismiss("a")
    delivery.dismiss("c")
    assert ids(delivery.next(5.0)) == ["b"]
    delivery.dismiss("b")
    delivery.ended(failed=True)
    assert delivery.owed == ()
    delivery.arrived(result("d"), 6.0)
    delivery.dismiss("d")
    assert delivery.wake_at() is None
    assert delivery.quiet


def test_a_thousand_results_go_in_messages_of_bounded_size():
    delivery: Delivery[str] = Delivery(0)
    for number in range(1000):
        delivery.arrived(result(f"{number:08x}", "x" * 10_000), 0)
    seen: list[str] = []
    while turn := delivery.next(0):
        assert isinstance(turn, ResultsTurn)
        assert len(turn.results) <= MOST_RESULTS
        assert len(results_text(turn.results)) < 60_000
        seen += ids(turn)
        delivery.ended()
    assert seen == [f"{number:08x}" for number in range(1000)]


def test_the_text_names_id_tool_arguments_outcome_and_time():
    text = results_text([result("ab12cd34", {"error": 0.04}), result("ffff0000", None, ValueError("no data"))])
    assert "2 background tasks have ended" in text
    for part in (
        "ab12cd34",
        "tool train",
        '"data": "ab12cd34"',
        '{"error": 0.04}',
        "after 1.5 s",
        "no data",
        "ValueError",
    ):
        assert part in text


def test_the_text_says_what_was_perhaps_told_before_and_only_that():
    text = results_text([result("aaaa"), result("bbbb")], frozenset({"bbbb"}))
    assert text.count("told this already") == 1
    assert text.index("told this already") > text.index("Task bbbb")


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ("ask", "expect", "arrive", "stray", "again", "next", "end", "fail", "refuse", "retry", "wait")
        ),
        st.integers(0, 9),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(ACTIONS)
def test_whatever_happens_everything_is_told_once_and_nothing_stays_behind(actions):
    delivery: Delivery[int] = Delivery(1.0)
    now, asked, turn = 0.0, 0, None
    running: list[str] = []
    given_ids: list[str] = []
    prompts: list[int] = []
    told: list[str] = []

    def begin() -> None:
        nonlocal turn
        new = delivery.next(now)
        assert new is None or turn is None
        turn = new or turn

    def end(failed: bool) -> None:
        nonlocal turn
        if turn is None:
            return
        if isinstance(turn, PromptTurn):
            prompts.append(turn.prompt)
        elif not failed:
            told.extend(ids(turn))
        turn = None
        delivery.ended(failed=failed)

    for number, (action, which) in enumerate(actions):
        match action:
            case "ask":
                delivery.asked(asked)
                asked += 1
            case "expect":
                running.append(f"t{number}")
                delivery.expect(f"t{number}")
            case "arrive" if running:
                name = running.pop(which % len(running))
                given_ids.append(name)
                assert delivery.arrived(result(name), now)
            case "stray":
                given_ids.append(f"s{number}")
                assert delivery.arrived(result(f"s{number}"), now)
            case "again" if given_ids:
                assert not delivery.arrived(result(given_ids[which % len(given_ids)]), now)
            case "next":
                begin()
            case "end" | "fail":
                end(action == "fail")
            case "refuse" if turn is not None:
                turn = None
                delivery.refused(now)
                assert delivery.at_work
            case "retry":
                delivery.retry()
            case "wait":
                now += which / 5
        assert sorted(found.task_id for found in delivery.owed) == sorted(set(given_ids) - set(told))
    for name in running:
        delivery.dismiss(name)
    delivery.retry()
    for _ in range(1000):
        if turn is None:
            begin()
        if turn is None:
            assert delivery.quiet
            break
        end(failed=False)
    assert prompts == list(range(asked))
    assert sorted(told) == sorted(given_ids)
    assert not delivery.owed


def test_who_is_busy_with_somebody_else_is_asked_again_after_growing_pauses():
    delivery: Delivery[str] = Delivery(0.1)
    delivery.asked("hello")
    delivery.asked("again")
    delivery.arrived(result("a"), 0)
    now = 0.0
    for pause in (0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5):
        assert delivery.next(now) == PromptTurn("hello")
        delivery.refused(now)
        assert delivery.next(now) is None
        assert not delivery.quiet
        assert delivery.wake_at() == now + pause
        now += pause
    assert delivery.next(now) == PromptTurn("hello")
    delivery.ended()
    turn = delivery.next(now)
    assert ids(turn) == ["a"]
    delivery.refused(now)
    assert delivery.wake_at() == now + 0.02
    delivery.retry()
    turn = delivery.next(now)
    assert isinstance(turn, ResultsTurn)
    assert (ids(turn), turn.perhaps_told) == (["a"], frozenset())
