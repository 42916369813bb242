from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from backchannel.notebook.owner import Ownership


def test_the_first_page_that_claims_owns() -> None:
    owner = Ownership()
    assert owner.claim("a", 0.0)
    assert (owner.client, owner.microphone) == ("a", True)


def test_another_page_is_refused_unless_it_insists() -> None:
    owner = Ownership()
    owner.claim("a", 0.0)
    assert not owner.claim("b", 1.0)
    assert owner.client == "a"
    assert owner.claim("b", 1.0, force=True, microphone=False)
    assert (owner.client, owner.microphone) == ("b", False)


def test_only_the_owner_can_release() -> None:
    owner = Ownership()
    owner.claim("a", 0.0)
    assert not owner.release("b")
    assert owner.release("a")
    assert (owner.client, owner.vanished) == ("", "")


def test_a_silent_owner_is_asked_after_two_seconds_and_loses_it_after_five() -> None:
    owner = Ownership()
    owner.claim("a", 0.0)
    assert owner.next_check() == 2.0
    assert not owner.probe(1.9)
    assert owner.probe(2.0)
    assert not owner.probe(2.1)
    assert not owner.expire(4.9)
    assert owner.expire(5.0)
    assert (owner.client, owner.vanished) == ("", "a")
    assert owner.next_check() is None


def test_a_sign_of_life_keeps_the_ownership() -> None:
    owner = Ownership()
    owner.claim("a", 0.0)
    assert not owner.seen("a", 4.0)
    assert not owner.expire(8.0)


def test_a_page_that_comes_back_owns_again_unless_another_does() -> None:
    owner = Ownership()
    owner.claim("a", 0.0)
    owner.expire(5.0)
    assert owner.seen("a", 6.0)
    assert owner.client == "a"
    owner.expire(20.0)
    owner.claim("b", 21.0)
    assert not owner.seen("a", 22.0)
    assert owner.client == "b"


def test_a_page_that_gave_it_up_does_not_get_it_back_by_a_sign_of_life() -> None:
    owner = Ownership()
    owner.claim("a", 0.0)
    owner.expire(5.0)
    owner.release("a")
    assert not owner.seen("a", 6.0)


_events = st.tuples(st.sampled_from(["claim", "force", "release", "seen", "expire"]), st.sampled_from("abc"))


@given(st.lists(_events, max_size=40))
def test_a_page_owns_only_after_it_asked_for_it(events: list[tuple[str, str]]) -> None:
    owner, asked = Ownership(), set()
    for now, (kind, page) in enumerate(events):
        match kind:
            case "claim" | "force":
                asked.add(page)
                owner.claim(page, float(now), force=kind == "force")
            case "release":
                owner.release(page)
                asked.discard(page)
            case "seen":
                owner.seen(page, float(now))
            case "expire":
                owner.expire(float(now))
        assert owner.client == "" or owner.client in asked
        assert not (owner.client and owner.vanished)
