"""`FakePrefixes`: the token prefixes that the fake backend keeps, by scope, in place of pages with numbers in them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from kvproxy.backends.base import Kept, KeptPage
from kvproxy.core import PAGE_TOKENS, Caller, stored_key
from kvproxy.core.common_prefix import common_prefix

_Tokens = tuple[int, ...]


class FakePrefixes:
    """Prefixes in memory and on ``disk``, a set of stored keys that outlives it; and the pins on them."""

    def __init__(self, disk: set[bytes]) -> None:
        """Start with nothing in memory.

        Example: ``FakePrefixes(disk=set())``
        """
        self.disk = disk
        self.pinned: dict[tuple[str, _Tokens], int] = {}
        """Pages of each prefix that is pinned, by scope and token ids."""
        self._pins: Counter[tuple[str, _Tokens]] = Counter()
        self.computed = 0
        """Tokens that were stored and not on disk before."""
        self._kept: dict[str, set[_Tokens]] = {}
        self._evicted: dict[str, set[_Tokens]] = {}

    def keep(self, scope: str, token_ids: _Tokens) -> None:
        """Keep a prefix in memory for all who may read ``scope``."""
        self._kept.setdefault(scope, set()).add(token_ids)

    def evict(self) -> None:
        """Forget all that is in memory, remembering that it was there."""
        for scope, prefixes in self._kept.items():
            self._evicted.setdefault(scope, set()).update(prefixes)
        self._kept.clear()

    def longest(self, token_ids: _Tokens, scopes: Iterable[str]) -> int:
        """Count the tokens of the longest start shared with a prefix of these scopes.

        Example: ``prefixes.longest(token_ids, ("public",))``
        """
        prefixes = [p for s in scopes for p in self._kept.get(s, ())]
        return max((common_prefix(p, token_ids) for p in prefixes), default=0)

    def resident(self, token_ids: _Tokens, caller: Caller) -> int:
        """Count the tokens of the longest start shared with what the caller may read, short of the last token.

        Example: ``prefixes.resident(prompt.token_ids, caller)``
        """
        return min(self.longest(token_ids, caller.readable), len(token_ids) - 1)

    def seen(self, token_ids: _Tokens, caller: Caller) -> bool:
        """Return whether a prefix of this prompt, which the caller may read, was evicted.

        Example: ``prefixes.seen(prompt.token_ids, caller)``
        """
        old = [p for s in caller.readable for p in self._evicted.get(s, ())]
        return any(common_prefix(p, token_ids) == len(p) for p in old)

    def store(self, scope: str, token_ids: _Tokens, reuse: tuple[str, ...]) -> int:
        """Keep a prefix in memory and on disk; return its tokens that were on disk for this scope or ``reuse``.

        Example: ``prefixes.store(PUBLIC, token_ids, reuse=())``
        """
        pages = pages_of(token_ids)
        there = 0
        for page in pages:
            if not any(stored_key(page.key, known) in self.disk for known in (scope, *reuse)):
                break
            there += page.tokens
        self.disk.update(stored_key(p.key, scope) for p in pages)
        self.keep(scope, token_ids)
        self.computed += len(token_ids) - there
        return there

    def restore(self, kept: Kept, scope: str) -> int:
        """Keep in memory what is on disk of a prefix, up to the first page that is not; return its tokens.

        Example: ``prefixes.restore(kept, PUBLIC)``
        """
        tokens = 0
        for page in kept.pages:
            if stored_key(page.key, scope) not in self.disk:
                break
            tokens += page.tokens
        if tokens:
            self.keep(scope, kept.token_ids[:tokens])
        return tokens

    def forget(self, kept: Kept, scope: str, still_kept: frozenset[bytes]) -> None:
        """Drop a prefix from memory, and its pages from the disk but for those that others still keep.

        Example: ``prefixes.forget(kept, PUBLIC, frozenset())``
        """
        self._kept.get(scope, set()).discard(kept.token_ids)
        self.disk.difference_update(stored_key(p.key, scope) for p in kept.pages if p.key not in still_kept)

    def pinned_pages(self) -> set[bytes]:
        """Return the stored keys of all pages that are pinned."""
        return {stored_key(page.key, scope) for scope, ids in self.pinned for page in pages_of(ids)}

    def pin(self, kept: Kept, scope: str) -> None:
        """Pin a prefix until as many calls of :meth:`unpin`."""
        self.pinned[(scope, kept.token_ids)] = len(kept.pages)
        self._pins[(scope, kept.token_ids)] += 1

    def unpin(self, kept: Kept, scope: str) -> None:
        """Undo one :meth:`pin`."""
        prefix = (scope, kept.token_ids)
        self._pins[prefix] -= 1
        if self._pins[prefix] <= 0:
            self.pinned.pop(prefix, None)


def pages_of(token_ids: _Tokens) -> tuple[KeptPage, ...]:
    """Return the pages of a prefix; each key is a digest of all tokens up to the page's end.

    Example: ``[page.tokens for page in pages_of(token_ids)]``
    """
    pages: list[KeptPage] = []
    key = b""
    for begin in range(0, len(token_ids), PAGE_TOKENS):
        page = token_ids[begin : begin + PAGE_TOKENS]
        key = hashlib.sha256(key + repr(page).encode()).digest()
        pages.append(KeptPage(key, len(page)))
    return tuple(pages)
