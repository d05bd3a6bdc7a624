"""`KeyChanges`: the keys of what has changed, told to followers that keep an order of all of it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MOST = 65_536
"""Keys that a follower remembers; one that is further behind looks at everything again."""


class ChangedKeys(Generic[K]):
    """The keys that have changed since a follower last asked. Noted on the event loop, taken in any thread."""

    __slots__ = ("_keys", "_lost")

    def __init__(self) -> None:
        """Remember nothing: the follower has seen nothing yet."""
        self._keys: dict[K, None] = {}
        self._lost = True

    def note(self, key: K) -> None:
        """Remember one key; each counts once, so that a follower who never asks costs MOST keys at most."""
        if len(self._keys) < MOST or key in self._keys:
            self._keys[key] = None
        else:
            self._lost = True

    def take(self) -> set[K] | None:
        """Return the keys since the last call, and forget them; None where there were too many, and at first."""
        # No swap of two dictionaries: a note of another thread could go into the one that is given away.
        lost = self._lost
        if lost:
            self._lost = False
        keys: set[K] = set()
        while self._keys:
            keys.add(self._keys.popitem()[0])
        return None if lost else keys


class KeyChanges(Generic[K]):
    """The followers of one kind of key.

    Example: ``news = changes.follow(); changes.note("handbook"); news.take()``
    """

    __slots__ = ("_followers",)

    def __init__(self) -> None:
        self._followers: list[ChangedKeys[K]] = []

    def follow(self) -> ChangedKeys[K]:
        """Return the changes from now on, for one follower that lives as long as this."""
        follower = ChangedKeys[K]()
        self._followers.append(follower)
        return follower

    def note(self, key: K) -> None:
        """Tell all followers that what has this key is another now: call it behind the change."""
        for follower in self._followers:
            follower.note(key)
