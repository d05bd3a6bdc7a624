"""`PublishedPrefixes`: the published prefixes of a fleet, which are to be kept warm. Event loop only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeptPrefix:
    """A published prefix under the salt that its readers have."""

    token_ids: tuple[int, ...]
    salt: str
    key: str


@dataclass(frozen=True, slots=True)
class MadeCopy:
    """The result of one prefill of one prefix."""

    cached: int
    """Positions that were there; 0 where the replica does not tell."""
    prefill_s: float
    """Seconds to its first token, without those that it is believed to have waited behind other requests."""


@dataclass(frozen=True, slots=True)
class MadeCopies:
    """The result of publishing one prefix."""

    replicas: tuple[str, ...]
    computed: int
    """Positions that the first replica computed; 0 where all of its blocks were there."""
    prefill_s: float
    unconfirmed: tuple[str, ...] = ()
    """Replicas of which neither events nor a second read told that the blocks are there."""


class PublishedPrefixes:
    """Prefixes by their keys, with those that are pinned, and which of them were read lately.

    Only prefixes that are pinned or were read are looked at for warming: a library is larger than its readers' part.
    """

    def __init__(self) -> None:
        self._kept: dict[str, KeptPrefix] = {}
        self._pins: dict[str, int] = {}
        self._wanted: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, prefix: KeptPrefix) -> None:
        """Keep a prefix."""
        self._kept[prefix.key] = prefix

    def find(self, key: str) -> KeptPrefix | None:
        """Return a kept prefix; None for a key that is none's."""
        return self._kept.get(key)

    def drop(self, key: str) -> None:
        """Keep a prefix no longer."""
        self._kept.pop(key, None)
        self._pins.pop(key, None)
        self._wanted.pop(key, None)

    def pin(self, key: str) -> None:
        """Count a pin."""
        self._pins[key] = self._pins.get(key, 0) + 1
        self.want(key)

    def unpin(self, key: str) -> None:
        """Take a pin back."""
        left = self._pins.get(key, 0) - 1
        if left > 0:
            self._pins[key] = left
        else:
            self._pins.pop(key, None)

    def pinned(self, key: str) -> bool:
        """Whether a prefix is pinned, as far as a fleet can."""
        return key in self._pins

    def want(self, key: str) -> None:
        """Look at a prefix from now on, at the end of the line."""
        if key in self._kept:
            self._wanted.pop(key, None)
            self._wanted[key] = None

    def unwant(self, key: str) -> None:
        """Look at a prefix no longer, unless it is pinned."""
        if key not in self._pins:
            self._wanted.pop(key, None)

    def next_wanted(self, most: int) -> Iterator[KeptPrefix]:
        """Yield up to ``most`` prefixes to look at, those first that were not looked at the longest. Others may be
        dropped meanwhile."""
        for key in list(self._wanted)[:most]:
            if (prefix := self._kept.get(key)) is not None:
                self.want(key)
                yield prefix

    @property
    def wanted(self) -> int:
        """The number of prefixes that are looked at."""
        return len(self._wanted)
