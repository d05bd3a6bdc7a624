"""`Siblings`: the pages that follow one page, sorted by token ids, so that a search costs O(log pages)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from kvproxy.core.common_prefix import common_prefix


class Page(Protocol):
    """Protocol of a page of KV that is found by its token ids."""

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Token ids of its positions."""

    @property
    def page(self) -> int | None:
        """Page of the pool; None: on disk only."""


N = TypeVar("N", bound=Page)

_TIES = 32
"""Equally good pages that are tried for one that is in memory."""

_ids = attrgetter("token_ids")


class Siblings(Generic[N]):
    """Pages of one scope, below pages of one key, that start with the same token.

    Keys may collide, so that some may hang below other tokens: the search's ``fits`` decides which of them count.
    """

    def __init__(self) -> None:
        self._pages: list[N] = []

    def __len__(self) -> int:
        return len(self._pages)

    def add(self, page: N) -> None:
        """Insert a page in the order of token ids."""
        self._pages.insert(bisect_right(self._pages, page.token_ids, key=_ids), page)

    def remove(self, page: N) -> None:
        """Take out a page. Raises ValueError when it is not there."""
        at = bisect_left(self._pages, page.token_ids, key=_ids)
        while at < len(self._pages) and self._pages[at].token_ids == page.token_ids:
            if self._pages[at] is page:
                del self._pages[at]
                return
            at += 1
        raise ValueError("the page is not among these siblings")

    def equal(self, token_ids: tuple[int, ...]) -> Iterator[N]:
        """Yield the pages of exactly these token ids: one, unless keys collide."""
        at = bisect_left(self._pages, token_ids, key=_ids)
        while at < len(self._pages) and self._pages[at].token_ids == token_ids:
            yield self._pages[at]
            at += 1

    def prefixes(self, token_ids: tuple[int, ...]) -> list[N]:
        """Return the pages with token ids that begin ``token_ids``."""
        found: list[N] = []
        at = bisect_left(self._pages, token_ids, key=_ids)
        while at > 0:
            before = self._pages[at - 1]
            shared = common_prefix(before.token_ids, token_ids)
            if shared == len(before.token_ids):
                found.append(before)
                at -= 1
            else:  # Prefixes of the shared tokens come before it, and nothing between.
                at = bisect_right(self._pages, token_ids[:shared], hi=at - 1, key=_ids)
        return found

    def closest(self, token_ids: tuple[int, ...], fits: Callable[[N], bool]) -> tuple[N | None, int]:
        """Return the page that shares the most leading tokens with ``token_ids``, and their number; of several, one in
        memory."""
        at = bisect_left(self._pages, token_ids, key=_ids)
        best, most = None, 0
        for way in (range(at, len(self._pages)), range(at - 1, -1, -1)):
            tried = 0
            for i in way:
                page = self._pages[i]
                shared = common_prefix(page.token_ids, token_ids)
                if shared < max(most, 1) or tried == _TIES:
                    break  # Further away they share no more.
                if fits(page):
                    tried += 1
                    if shared > most or (best is not None and best.page is None):
                        best, most = page, shared
                    if best is not None and best.page is not None and shared == most:
                        break
        return best, most
