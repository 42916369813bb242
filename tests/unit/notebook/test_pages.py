from __future__ import annotations

from backchannel.notebook.pages import Page, Pages


def page(since: float, *, lab: bool = False, keeps: bool = False, acked: int = 0) -> Page:
    return Page(lab, keeps, since=since, sent=since, acked=acked)


def test_a_page_that_lacks_nothing_is_never_forgotten() -> None:
    pages: Pages[Page] = Pages()
    pages.add("a", page(0.0, acked=3))
    pages.forget_silent(1e6, 3)
    assert pages.names == ["a"]


def test_a_silent_page_is_forgotten_but_not_what_it_said_of_itself() -> None:
    pages: Pages[Page] = Pages()
    known = pages.add("a", page(0.0, lab=True, keeps=True))
    pages.forget_silent(9.9, 1)
    assert (pages.lab, pages.keeps) == (True, True)
    pages.forget_silent(10.0, 1)
    assert (pages.names, pages.lab, pages.keeps) == ([], False, False)
    assert pages.get("a") is known
    assert (known.lab, known.keeps) == (True, True)


def test_a_page_that_says_hello_again_is_no_longer_forgotten() -> None:
    pages: Pages[Page] = Pages()
    pages.add("a", page(0.0, lab=True))
    pages.forget_silent(10.0, 1)
    pages.add("a", page(11.0))
    assert (pages.names, pages.lab) == (["a"], False)


def test_silence_counts_from_the_first_send_that_is_not_acknowledged() -> None:
    pages: Pages[Page] = Pages()
    pages.add("a", page(0.0, acked=1))
    pages.sending(100.0, 1)
    pages.sending(105.0, 2)
    pages.forget_silent(109.9, 3)
    assert pages.names == ["a"]
    pages.forget_silent(110.0, 3)
    assert pages.names == []


def test_of_too_many_pages_the_one_that_was_silent_longest_goes() -> None:
    pages: Pages[Page] = Pages()
    pages.add("old", page(0.0))
    for number in range(Pages.MOST):
        pages.add(str(number), page(1.0 + number))
    assert pages.get("old") is None
    assert len(pages.names) == Pages.MOST
