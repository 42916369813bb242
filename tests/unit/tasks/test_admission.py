"""Who may start, in which order, and who is refused."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from backchannel.tasks.admission import Admission, Ticket


def ticket(item: Any, *, pool: str = "threads", tool: str = "t", **options: Any) -> Ticket[Any]:
    return Ticket(item, pool, tool, **options)


def items(tickets: list[Ticket[Any]]) -> list[Any]:
    return [entry.item for entry in tickets]


def test_a_place_goes_to_the_higher_priority_then_to_the_first():
    admission: Admission[Any] = Admission()
    running = ticket("running", pool_limit=1)
    assert items(admission.enter(running)) == ["running"]
    for item, priority in [("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)]:
        assert admission.enter(ticket(item, pool_limit=1, priority=priority)) == []
    order = []
    while running is not None:
        admitted = admission.leave(running)
        order += items(admitted)
        running = admitted[0] if admitted else None
    assert order == ["b", "d", "a", "c", "e"]
    assert (admission.running, admission.queued) == (0, 0)


def test_a_full_tool_holds_up_nobody_else():
    admission: Admission[Any] = Admission()
    first = ticket(1, tool="slow", tool_limit=1, pool_limit=2)
    assert items(admission.enter(first)) == [1]
    assert admission.enter(ticket(2, tool="slow", tool_limit=1, pool_limit=2, priority=9)) == []
    assert items(admission.enter(ticket(3, pool_limit=2))) == [3]
    assert items(admission.leave(first)) == [2]


def test_the_whole_has_a_bound_over_all_pools():
    admission: Admission[Any] = Admission(max_running=2)
    first = ticket(1, pool="a")
    assert items(admission.enter(first)) == [1]
    assert items(admission.enter(ticket(2, pool="b"))) == [2]
    assert admission.enter(ticket(3, pool="c")) == []
    assert admission.enter(ticket(4, pool="a", priority=1)) == []
    assert items(admission.leave(first)) == [4]


def test_who_need_not_wait_is_not_refused_however_short_the_queue():
    admission: Admission[Any] = Admission(max_queued=0)
    first = ticket(1, pool_limit=1)
    assert not admission.refuses(first)
    admission.enter(first)
    assert admission.refuses(ticket(2, pool_limit=1))
    assert not admission.refuses(ticket(2, pool="elsewhere"))
    assert admission.refuses(ticket(3, pool="elsewhere"), held=True)


def test_held_tickets_wait_for_what_they_need():
    admission: Admission[Any] = Admission()
    held = ticket("held")
    assert admission.enter(held, held=True) == []
    assert admission.queued == 1
    assert items(admission.ready(held)) == ["held"]
    assert admission.ready(held) == []


def test_a_further_attempt_keeps_its_rank():
    admission: Admission[Any] = Admission()
    first, second = ticket(1, pool_limit=1), ticket(2, pool_limit=1)
    admission.enter(first)
    admission.enter(second)
    admission.enter(ticket(3, pool_limit=1))
    assert items(admission.leave(first)) == [2]
    again = ticket("1 again", pool_limit=1)
    assert admission.again(again, first) == []
    assert items(admission.leave(second)) == ["1 again"]


def test_a_place_that_is_lent_is_others_until_it_is_taken_back():
    admission: Admission[Any] = Admission(max_running=1)
    first, second, third = (ticket(number, pool_limit=1, tool_limit=1) for number in range(3))
    admission.enter(first)
    assert admission.enter(second) == []
    assert items(admission.lend(first)) == [1]
    assert admission.lend(first) == []
    admission.take_back(first)
    admission.take_back(first)
    assert admission.running == 2
    assert admission.enter(third) == []
    assert admission.leave(second) == []
    assert items(admission.leave(first)) == [2]


def test_who_leaves_while_the_place_is_lent_has_none_to_give_back():
    admission: Admission[Any] = Admission()
    first, second = ticket(1, pool_limit=1), ticket(2, pool_limit=1)
    admission.enter(first)
    admission.lend(first)
    admission.enter(second)
    assert admission.leave(first) == []
    admission.take_back(first)
    assert (admission.running, first.place) == (1, "gone")
    admission.leave(second)
    assert not admission._pools


def test_a_further_attempt_takes_the_rank_of_one_that_left_the_queue():
    admission: Admission[Any] = Admission()
    first, last = ticket("first", pool_limit=1), ticket("last", pool_limit=1)
    admission.enter(first)
    admission.enter(last)
    admission.enter(ticket("other", pool_limit=1))
    admission.leave(last)
    admission.again(ticket("last", pool_limit=1), last)
    assert items(admission.leave(first)) == ["last"]


def test_who_replaces_another_may_have_its_place():
    admission: Admission[Any] = Admission(max_queued=1)
    running, waiting = ticket("running", pool_limit=1), ticket("waiting", pool_limit=1)
    admission.enter(running)
    admission.enter(waiting)
    new = ticket("new", pool_limit=1)
    assert admission.refuses(new)
    assert not admission.refuses(new, instead_of=[waiting])
    assert not admission.refuses(new, instead_of=[running])
    assert admission.refuses(new, instead_of=[running], held=True)
    assert not admission.refuses(new, instead_of=[waiting], held=True)
    assert admission.refuses(new, instead_of=[ticket("gone")])


def test_ten_thousand_that_leave_the_queue_are_forgotten():
    admission: Admission[Any] = Admission()
    running = ticket("running", pool_limit=1)
    admission.enter(running)
    waiting = [ticket(number, pool_limit=1) for number in range(10_000)]
    for entry in waiting:
        admission.enter(entry)
    for entry in waiting[:-1]:
        admission.leave(entry)
    (pool,) = admission._pools.values()
    assert sum(len(line.waiting) for line in pool.lines.values()) < 200
    assert items(admission.leave(running)) == [9_999]


def test_ten_thousand_tools_with_limits_cost_as_little():
    admission: Admission[Any] = Admission()
    running = ticket("running", pool_limit=1)
    admission.enter(running)
    for number in range(10_000):
        admission.enter(ticket(number, tool=f"tool {number}", tool_limit=1, pool_limit=1))
    order = []
    left: Ticket[Any] | None = running
    while left is not None:
        admitted = admission.leave(left)
        order += items(admitted)
        left = admitted[0] if admitted else None
    assert order == list(range(10_000))
    assert not admission._pools


POOL_LIMITS = {"threads": 2, "coroutines": None, "processes": 1}
TOOL_LIMITS = {"free": None, "one": 1, "two": 2}


class Queue(RuleBasedStateMachine):
    """Random lives against a plain list of who waits."""

    known = Bundle("known")

    def __init__(self) -> None:
        super().__init__()
        self.admission: Admission[int] = Admission(max_running=4, max_queued=6)
        self.tickets: list[Ticket[int]] = []
        self.attempts = 0
        self.came_back: set[Ticket[int]] = set()

    def check_order(self, admitted: list[Ticket[int]], before: list[Ticket[int]]) -> None:
        """Nobody who could have started just as well was passed over."""
        for entry in admitted:
            assert entry.place == "admitted"
            rivals = [other for other in before if (other.pool, other.tool) == (entry.pool, entry.tool)]
            assert all(entry.key <= other.key for other in rivals if other.place == "waiting")

    def waiting(self) -> list[Ticket[int]]:
        return [entry for entry in self.tickets if entry.place == "waiting"]

    @rule(
        target=known,
        pool=st.sampled_from(sorted(POOL_LIMITS)),
        tool=st.sampled_from(sorted(TOOL_LIMITS)),
        priority=st.integers(-1, 1),
        held=st.booleans(),
    )
    def enter(self, pool: str, tool: str, priority: int, held: bool) -> Ticket[int]:
        made = Ticket(
            len(self.tickets),
            pool,
            tool,
            pool_limit=POOL_LIMITS[pool],
            tool_limit=TOOL_LIMITS[tool],
            priority=priority,
        )
        if self.admission.refuses(made, held=held):
            assert self.admission.queued >= 6
            return made
        before = self.waiting()
        self.tickets.append(made)
        self.check_order(self.admission.enter(made, held=held), before)
        return made

    @rule(entry=known)
    def ready(self, entry: Ticket[int]) -> None:
        before = self.waiting()
        self.check_order(self.admission.ready(entry), before)
        assert entry.place != "held"

    @rule(entry=known)
    def leave(self, entry: Ticket[int]) -> None:
        before = self.waiting()
        self.check_order(self.admission.leave(entry), before)
        assert entry.place == "gone"

    @rule(entry=known)
    def lend(self, entry: Ticket[int]) -> None:
        before = self.waiting()
        self.check_order(self.admission.lend(entry), before)
        assert entry.place != "admitted"

    @rule(entry=known)
    def take_back(self, entry: Ticket[int]) -> None:
        if entry.place == "lent":
            self.came_back.add(entry)
        self.admission.take_back(entry)
        assert entry.place != "lent"

    @rule(target=known, entry=known)
    def again(self, entry: Ticket[int]) -> Ticket[int]:
        if entry.place != "gone" or not entry.number or self.attempts >= 3:
            return entry
        self.attempts += 1
        made = Ticket(
            entry.item,
            entry.pool,
            entry.tool,
            pool_limit=entry.pool_limit,
            tool_limit=entry.tool_limit,
            priority=entry.priority,
        )
        self.tickets.append(made)
        self.admission.again(made, entry)
        assert made.place in ("waiting", "admitted")
        return made

    @precondition(lambda self: self.tickets)
    @rule()
    def all_end(self) -> None:
        for entry in self.tickets:
            self.admission.ready(entry)
            self.admission.take_back(entry)
        while running := [entry for entry in self.tickets if entry.place == "admitted"]:
            self.admission.leave(running[0])
        assert not self.waiting()
        assert not self.admission._pools

    @invariant()
    def bounds_are_kept_and_nobody_waits_for_a_place_that_is_free(self) -> None:
        running = [entry for entry in self.tickets if entry.place == "admitted"]
        waiting = self.waiting()
        held = [entry for entry in self.tickets if entry.place == "held"]
        assert self.admission.running == len(running) <= 4 + len(self.came_back)
        assert self.admission.queued == len(waiting) + len(held) <= 6 + self.attempts
        for pool, limit in POOL_LIMITS.items():
            there = [entry for entry in running if entry.pool == pool]
            assert limit is None or len(set(there) - self.came_back) <= limit
            for tool, most in TOOL_LIMITS.items():
                same = [entry for entry in there if entry.tool == tool]
                assert most is None or len(set(same) - self.came_back) <= most
                free = len(running) < 4 and (limit is None or len(there) < limit) and (most is None or len(same) < most)
                assert not (free and any((entry.pool, entry.tool) == (pool, tool) for entry in waiting))


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@given(st.lists(st.integers(-3, 3), max_size=60))
def test_one_place_serves_by_priority_then_arrival(priorities: list[int]):
    admission: Admission[Any] = Admission()
    left: Ticket[Any] | None = ticket(None, pool_limit=1)
    assert left is not None
    admission.enter(left)
    for number, priority in enumerate(priorities):
        admission.enter(ticket((-priority, number), pool_limit=1, priority=priority))
    order = []
    while left is not None:
        admitted = admission.leave(left)
        order += items(admitted)
        left = admitted[0] if admitted else None
    assert order == sorted(order)
    assert len(order) == len(priorities)
