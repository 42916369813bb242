"""Admission: which waiting task may start, and which is refused. Pure.

    enter ──► held ──ready──► waiting ──► admitted ──leave──► gone
                                 ▲          │   ▲
                  again ─────────┘     lend ▼   │ take_back
                                            lent

A ticket belongs to a pool (where it would run) and a tool. It is admitted as soon as the pool, the tool and the whole
have a place free: higher priority first, then first come first served. Who waits for a full tool holds up nobody else.
Who lends his place gets it back at once, also where that is then one more than may run.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Hashable
from typing import Generic, Literal, TypeAlias, TypeVar

__all__ = ["Admission", "Place", "Ticket"]

T = TypeVar("T")

Place: TypeAlias = Literal["new", "held", "waiting", "admitted", "lent", "gone"]
_Key: TypeAlias = tuple[int, int]

_SWEEP = 64
"""Tickets that left a queue and are still listed in it, before it is swept."""


class Ticket(Generic[T]):
    """One task's claim to a place.

    Args:
        item: Whose ticket it is.
        pool: Where it is to run.
        pool_limit: How many may run there at a time; None for any number. The newest ticket's limit holds.
        tool: What the limit of a tool is counted by.
        tool_limit: How many of the tool may run there at a time; None for any number.
        priority: Higher comes first.
    """

    __slots__ = ("item", "number", "place", "pool", "pool_limit", "priority", "tool", "tool_limit")

    def __init__(
        self,
        item: T,
        pool: Hashable,
        tool: str,
        *,
        pool_limit: int | None = None,
        tool_limit: int | None = None,
        priority: int = 0,
    ) -> None:
        self.item = item
        self.pool = pool
        self.pool_limit = pool_limit
        self.tool = tool
        self.tool_limit = tool_limit
        self.priority = priority
        self.number = 0
        self.place: Place = "new"

    @property
    def key(self) -> _Key:
        """Its rank: the smallest is next."""
        return (-self.priority, self.number)

    def __lt__(self, other: Ticket[T]) -> bool:
        # Asked only of two of the same rank, of which one has left and is still listed.
        return False


class _Line(Generic[T]):
    """Who waits for one tool with a limit, or for all tools without one."""

    __slots__ = ("left", "limit", "listed", "running", "waiting")

    def __init__(self) -> None:
        self.limit: int | None = None
        self.running = 0
        self.waiting: list[tuple[_Key, Ticket[T]]] = []
        self.left = 0
        self.listed: _Key | None = None

    def is_full(self) -> bool:
        return self.limit is not None and self.running >= self.limit

    def head(self) -> Ticket[T] | None:
        while self.waiting:
            ticket = self.waiting[0][1]
            if ticket.place == "waiting":
                return ticket
            heapq.heappop(self.waiting)
            self.left -= 1
        return None

    def lost_one(self) -> None:
        """A ticket left from the middle: it is forgotten when such are the larger part."""
        self.left += 1
        if self.left > _SWEEP and self.left * 2 > len(self.waiting):
            self.waiting = [entry for entry in self.waiting if entry[1].place == "waiting"]
            heapq.heapify(self.waiting)
            self.left = 0


class _Pool(Generic[T]):
    """One place to run, with its lines; the first of each line that may start is listed in ``heads``."""

    __slots__ = ("heads", "limit", "lines", "running")

    def __init__(self) -> None:
        self.limit: int | None = None
        self.running = 0
        self.lines: dict[str | None, _Line[T]] = {}
        self.heads: list[tuple[_Key, str | None]] = []

    def is_full(self) -> bool:
        return self.limit is not None and self.running >= self.limit

    def list_head(self, name: str | None) -> None:
        """See to it that the line's first is listed, once."""
        line = self.lines[name]
        ticket = None if line.is_full() else line.head()
        key = None if ticket is None else ticket.key
        if key is not None and key != line.listed:
            heapq.heappush(self.heads, (key, name))
        line.listed = key

    def next(self) -> Ticket[T] | None:
        """Return who is next, or None; takes nobody."""
        while self.heads:
            key, name = self.heads[0]
            line = self.lines.get(name)
            if line is not None and line.listed == key:
                ticket = None if line.is_full() else line.head()
                if ticket is not None and ticket.key == key:
                    return ticket
                heapq.heappop(self.heads)
                line.listed = None
                self.list_head(name)
            else:
                heapq.heappop(self.heads)
        return None


class Admission(Generic[T]):
    """Decides who runs. What changes places returns the tickets that are admitted thereby, in order.

    Args:
        max_running: How many may run at a time in all pools; None for any number.
        max_queued: How many may wait; None for any number. Whoever comes `again` is never refused.
    """

    def __init__(self, max_running: int | None = None, max_queued: int | None = None) -> None:
        self.max_running = max_running
        self.max_queued = max_queued
        self.running = 0
        self.queued = 0
        self._pools: dict[Hashable, _Pool[T]] = {}
        self._numbers = itertools.count(1)

    def refuses(self, ticket: Ticket[T], *, held: bool = False, instead_of: Collection[Ticket[T]] = ()) -> bool:
        """Whether a new ticket would have to wait, and too many wait already; ``instead_of`` are to leave before."""
        if self.max_queued is None:
            return False
        queued = self.queued - sum(other.place in ("held", "waiting") for other in instead_of)
        if queued < self.max_queued:
            return False
        if held:
            return True
        # The place that one of them leaves is the new one's, or that of somebody who then waits no more.
        line = ticket.pool, _line_of(ticket)
        if any(other.place == "admitted" and (other.pool, _line_of(other)) == line for other in instead_of):
            return False
        return not self.admits(ticket)

    def admits(self, ticket: Ticket[T]) -> bool:
        """Whether a new ticket would have a place at once."""
        if self.max_running is not None and self.running >= self.max_running:
            return False
        pool = self._pools.get(ticket.pool)
        if pool is None:
            return True
        if ticket.pool_limit is not None and pool.running >= ticket.pool_limit:
            return False
        line = pool.lines.get(_line_of(ticket))
        return line is None or ticket.tool_limit is None or line.running < ticket.tool_limit

    def enter(self, ticket: Ticket[T], *, held: bool = False) -> list[Ticket[T]]:
        """Take a new ticket; one that is ``held`` waits for `ready`. Ask `refuses` before."""
        if ticket.place != "new":
            return []
        ticket.number = next(self._numbers)
        self.queued += 1
        if held:
            ticket.place = "held"
            return []
        return self._wait(ticket)

    def ready(self, ticket: Ticket[T]) -> list[Ticket[T]]:
        """What the ticket was held for has come."""
        return self._wait(ticket) if ticket.place == "held" else []

    def again(self, ticket: Ticket[T], last: Ticket[T]) -> list[Ticket[T]]:
        """Take a new ticket at the rank of one that has left, for the same task once more."""
        if ticket.place != "new" or last.place != "gone" or not last.number:
            return []
        # Two tickets of the same rank could not be told apart.
        ticket.number, last.number = last.number, 0
        self.queued += 1
        return self._wait(ticket)

    def leave(self, ticket: Ticket[T]) -> list[Ticket[T]]:
        """The ticket needs no place any more, wherever it is."""
        place, ticket.place = ticket.place, "gone"
        if place == "held":
            self.queued -= 1
        elif place == "waiting":
            self.queued -= 1
            pool = self._pools[ticket.pool]
            pool.lines[_line_of(ticket)].lost_one()
            self._tidy(ticket)
        elif place == "admitted":
            return self._free(ticket)
        return []

    def lend(self, ticket: Ticket[T]) -> list[Ticket[T]]:
        """Whoever has the place only waits for others now: they may have it meanwhile."""
        if ticket.place != "admitted":
            return []
        ticket.place = "lent"
        return self._free(ticket)

    def take_back(self, ticket: Ticket[T]) -> None:
        """Whoever lent his place goes on."""
        if ticket.place == "lent":
            ticket.place = "admitted"
            self.running += 1
            pool, line = self._line(ticket)
            pool.running += 1
            line.running += 1

    def _free(self, ticket: Ticket[T]) -> list[Ticket[T]]:
        self.running -= 1
        pool, name = self._pools[ticket.pool], _line_of(ticket)
        pool.running -= 1
        pool.lines[name].running -= 1
        pool.list_head(name)
        self._tidy(ticket)
        return self._fill()

    def _line(self, ticket: Ticket[T]) -> tuple[_Pool[T], _Line[T]]:
        """Return where the ticket belongs; its limits hold from now on."""
        pool, name = self._pools.get(ticket.pool), _line_of(ticket)
        if pool is None:
            pool = self._pools[ticket.pool] = _Pool()
        pool.limit = ticket.pool_limit
        line = pool.lines.get(name)
        if line is None:
            line = pool.lines[name] = _Line()
        line.limit = ticket.tool_limit
        return pool, line

    def _wait(self, ticket: Ticket[T]) -> list[Ticket[T]]:
        ticket.place = "waiting"
        pool, line = self._line(ticket)
        heapq.heappush(line.waiting, (ticket.key, ticket))
        pool.list_head(_line_of(ticket))
        return self._fill()

    def _fill(self) -> list[Ticket[T]]:
        admitted: list[Ticket[T]] = []
        while self.max_running is None or self.running < self.max_running:
            heads = [ticket for pool in self._pools.values() if not pool.is_full() and (ticket := pool.next())]
            if not heads:
                break
            ticket = min(heads, key=lambda head: head.key)
            pool, name = self._pools[ticket.pool], _line_of(ticket)
            line = pool.lines[name]
            heapq.heappop(line.waiting)
            ticket.place = "admitted"
            self.queued -= 1
            self.running += 1
            pool.running += 1
            line.running += 1
            pool.list_head(name)
            admitted.append(ticket)
        return admitted

    def _tidy(self, ticket: Ticket[T]) -> None:
        """Forget a line and a pool that nobody uses."""
        pool, name = self._pools[ticket.pool], _line_of(ticket)
        line = pool.lines[name]
        if not line.running and line.head() is None:
            del pool.lines[name]
            if not pool.lines:
                del self._pools[ticket.pool]


def _line_of(ticket: Ticket[T]) -> str | None:
    return None if ticket.tool_limit is None else ticket.tool
