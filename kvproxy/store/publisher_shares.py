"""`PublisherShares`: bytes of the page store by publisher, and the pages to drop when it is full. Pure, no I/O.

A publisher may use all of the store while no other publisher needs it. In a full store the share of each is an equal
part: a publisher within its share is given room by the one that holds the most, and one beyond it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NO_OWNER = ""
"""Owner of pages that belong to no document: they are dropped first."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    """No room is made for this publisher. Sizes in bytes."""

    held: int
    share: int
    publishers: int


class PublisherShares:
    """Sizes in bytes of all pages, by key and by publisher. Not thread safe, but that ``in sizes`` is."""

    def __init__(self, max_size: int) -> None:
        """Start without pages; ``max_size`` in bytes."""
        self.max_size = max_size
        self.sizes: dict[bytes, int] = {}
        self.used = 0
        """The sum of ``sizes``: maintained, since it is read with each page written."""
        self._owners: dict[bytes, str] = {}
        self._held: dict[str, dict[bytes, None]] = {}
        self._bytes: dict[str, int] = {}

    def add(self, key: bytes, size: int, owner: str | None) -> None:
        """Count a page that is not counted yet. ``owner`` None: the owner that it had before.

        Example: ``shares.add(key, size=1_052_672, owner="tenant:a")``
        """
        owner = self._owners.get(key, NO_OWNER) if owner is None else owner
        self._owners[key] = owner
        self.sizes[key] = size
        self.used += size
        self._held.setdefault(owner, {})[key] = None
        self._bytes[owner] = self._bytes.get(owner, 0) + size

    def remove(self, key: bytes) -> None:
        """Stop counting a page. Its publisher is remembered, in case it is made again."""
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
        """Forget the publisher of a page that will not come back."""
        if key not in self.sizes:
            self._owners.pop(key, None)

    def assign(self, owners: Mapping[bytes, str]) -> None:
        """Count pages for these publishers, and all others for NO_OWNER."""
        sizes = dict(self.sizes)
        for key in sizes:
            self.remove(key)
        self._owners = dict(owners)
        for key, size in sizes.items():
            self.add(key, size, None)

    def owner(self, key: bytes) -> str:
        """Return the page's publisher, or NO_OWNER."""
        return self._owners.get(key, NO_OWNER)

    def held(self, owner: str) -> int:
        """Return the bytes that a publisher holds."""
        return self._bytes.get(owner, 0)

    def make_room(self, size: int, owner: str) -> tuple[bytes, ...] | NoRoom:
        """Return the pages to drop so that ``owner`` can add ``size`` bytes, or NoRoom.

        Of each publisher the newest page goes first: a prefix is of no use behind a page that is missing, and documents
        of long ago stay whole.
        """
        missing = self.used + size - self.max_size
        if missing <= 0:
            return ()
        publishers = {*self._bytes, owner} - {NO_OWNER}
        share = self.max_size // max(1, len(publishers))
        if owner == NO_OWNER or self.held(owner) + size > share:
            return NoRoom(self.held(owner), share, len(publishers))
        left = {o: iter(reversed(keys)) for o, keys in self._held.items() if o != owner}
        held = {o: n for o, n in self._bytes.items() if o != owner}
        doomed: list[bytes] = []
        while missing > 0:
            victim = NO_OWNER if held.get(NO_OWNER, 0) else max(held, key=lambda o: held[o], default=NO_OWNER)
            key = next(left[victim], None) if victim in left else None
            if key is None:
                return NoRoom(self.held(owner), share, len(publishers))
            doomed.append(key)
            held[victim] -= self.sizes[key]
            missing -= self.sizes[key]
        return tuple(doomed)
