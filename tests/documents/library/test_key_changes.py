from __future__ import annotations

import threading

import pytest

from kvproxy.documents.library import key_changes
from kvproxy.documents.library.key_changes import KeyChanges


def test_a_follower_takes_each_key_once_and_has_seen_nothing_at_first() -> None:
    changes = KeyChanges[str]()
    news, other = changes.follow(), changes.follow()
    assert news.take() is None
    for key in ("a", "b", "a"):
        changes.note(key)
    assert news.take() == {"a", "b"} and news.take() == set()
    assert other.take() is None and other.take() == set(), "all that was, and nothing twice"


def test_a_follower_that_never_asks_stays_small_and_looks_at_all_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_changes, "MOST", 3)
    changes = KeyChanges[int]()
    news = changes.follow()
    assert news.take() is None
    for key in (1, 2, 3, 1, 2, 3):
        changes.note(key)
    assert news.take() == {1, 2, 3}
    for key in range(10):
        changes.note(key)
    assert news.take() is None
    changes.note(11)
    assert news.take() == {11}


def test_no_key_is_lost_between_two_threads() -> None:
    changes = KeyChanges[int]()
    news = changes.follow()
    taken: set[int] = set()
    ended = threading.Event()

    def follow() -> None:
        while not ended.is_set():
            taken.update(news.take() or ())

    assert news.take() is None
    thread = threading.Thread(target=follow)
    thread.start()
    for key in range(20_000):
        changes.note(key)
    ended.set()
    thread.join()
    assert taken | (news.take() or set()) == set(range(20_000))
