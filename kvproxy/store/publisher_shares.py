"""Who holds how much of the page store, and whose pages go when it is full: pure bookkeeping, no I/O.

A publisher may use all of the store while nobody else needs it. When it is full, each one's share is an equal part;
whoever stays within it is given room by whoever holds the most, and only who would go beyond it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NOBODY = ""
"""Whose pages belong to no document: the first to go."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No room is made for this publisher. Sizes in bytes."""

    held: int
    share: int
    publishers: int


class PublisherShares:
    """Sizes in bytes of all pages, by key and by publisher. Not thread safe, but that ``in sizes`` is."""

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self.sizes: dict[bytes, int] = {}
        self.used = 0
        """The sum of ``sizes``: kept, since it is asked for with each page written."""
        self._owners: dict[bytes, str] = {}
        self._held: dict[str, dict[bytes, None]] = {}
        self._bytes: dict[str, int] = {}

    def add(self, key: bytes, size: int, owner: str | None) -> None:
        """A page that is not among them. None: whoever it was counted for before."""
        owner = self._owners.get(key, NOBODY) if owner is None else owner
        self._owners[key] = owner
        self.sizes[key] = size
        self.used += size
        self._held.setdefault(owner, {})[key] = None
        self._bytes[owner] = self._bytes.get(owner, 0) + size

    def remove(self, key: bytes) -> None:
        """Its publisher is remembered, in case it is made again. Nothing happens when it is not among them."""
        size = self.sizes.pop(key, None)
        if size is None:
            return
        owner = self._owners[key]
        self.used -= size
        self._bytes[owner] -= size
        del self._held[owner][key]
        if not self._held[owner]:
            del self._held[owner], self._bytes[owner]

    def forget(self, key: bytes) -> None:
        """The page will not come back for the publisher that it had."""
        if key not in self.sizes:
            self._owners.pop(key, None)

    def assign(self, owners: Mapping[bytes, str]) -> None:
        """Count pages for these publishers, and all others for nobody."""
        sizes = dict(self.sizes)
        for key in sizes:
            self.remove(key)
        self._owners = dict(owners)
        for key, size in sizes.items():
            self.add(key, size, None)

    def owner(self, key: bytes) -> str:
        return self._owners.get(key, NOBODY)

    def held(self, owner: str) -> int:
        return self._bytes.get(owner, 0)

    def make_room(self, size: int, owner: str) -> tuple[bytes, ...] | Refused:
        """Pages to drop so that ``owner`` can add ``size`` bytes. Of each publisher the newest page goes first: a
        prefix is of no use behind a page that is missing, and documents of long ago stay whole."""
        missing = self.used + size - self.max_size
        if missing <= 0:
            return ()
        publishers = {*self._bytes, owner} - {NOBODY}
        share = self.max_size // max(1, len(publishers))
        if owner == NOBODY or self.held(owner) + size > share:
            return Refused(self.held(owner), share, len(publishers))
        left = {o: iter(reversed(keys)) for o, keys in self._held.items() if o != owner}
        held = {o: n for o, n in self._bytes.items() if o != owner}
        doomed: list[bytes] = []
        while missing > 0:
            victim = NOBODY if held.get(NOBODY, 0) else max(held, key=lambda o: held[o], default=NOBODY)
            key = next(left[victim], None) if victim in left else None
            if key is None:
                return Refused(self.held(owner), share, len(publishers))
            doomed.append(key)
            held[victim] -= self.sizes[key]
            missing -= self.sizes[key]
        return tuple(doomed)
