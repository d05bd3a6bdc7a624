"""`PageLedger`: no call leaves fewer free and evictable pages than are reserved, and a refused one changes nothing."""

from __future__ import annotations

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.eviction_heap import EvictionHeap
from kvproxy.engine.cache.eviction_policy import LeastRecent
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_ledger import PageLedger
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex

IDS = tuple(range(PAGE_TOKENS))


class Books:
    """A ledger with its pool, heap and index."""

    def __init__(self, pages: int) -> None:
        self.pool = PagePool(PageShape(1, 1, 1, torch.float32), pages + 1, torch.device("cpu"))
        self.eviction = EvictionHeap(pages + 1, LeastRecent())
        self.ledger = PageLedger(self.pool, self.eviction)
        self.index = PrefixIndex(root_key("ledger"))

    def take(self) -> int:
        assert self.ledger.retain((), 1)
        page = self.ledger.take_free(None)
        assert page is not None
        return page

    def node(self, scope: str, page: int) -> Node:
        node, made = self.index.add(scope, None, IDS)
        assert made and self.ledger.attach(node, page)
        return node

    def faults(self) -> list[str]:
        return self.ledger.check() + self.eviction.check(self.index)


def test_a_reservation_is_redeemed_once_and_can_be_undone() -> None:
    books = Books(2)
    assert books.ledger.retain((), 2) and not books.ledger.retain((), 1)
    first, second = books.ledger.take_free(None), books.ledger.take_free(None)
    assert first is not None and second is not None
    assert books.ledger.reserved == 0 and books.ledger.take_free(None) is None, (
        "nothing is free, nothing is evicted"
    )
    books.ledger.undo_take(second)
    assert books.ledger.reserved == 1 == books.ledger.available
    books.ledger.unreserve(1)
    assert books.ledger.retain((), 1) and books.faults() == []


def test_retaining_a_reserved_page_is_refused_and_changes_nothing() -> None:
    books = Books(2)
    page = books.take()
    node = books.node("a", page)
    books.ledger.return_page(page)
    assert books.ledger.available == 2 and books.ledger.retain((), 2)
    assert not books.ledger.retain([node])
    assert node.retained == 0 and books.ledger.available == 2 and books.faults() == []
    books.ledger.unreserve(1)
    assert books.ledger.retain([node]) and books.ledger.available == 1
    books.ledger.release([node])
    assert books.ledger.available == 2 and books.faults() == []


def test_attaching_gives_back_a_page_that_is_not_in_use() -> None:
    books = Books(2)
    old = books.take()
    node = books.node("a", old)
    books.ledger.return_page(old)
    new = books.take()
    assert books.ledger.attach(node, new) and node.page == new
    assert books.pool.refs[old] == 0 and books.pool.refs[new] == 2 and books.faults() == []
    third = books.take()
    assert books.ledger.attach(node, third) and node.page == new, "a page in use stays"
    assert books.pool.refs[third] == 1


def test_a_page_that_another_node_holds_is_not_free_by_attaching() -> None:
    """The other node keeps the old page, which stays evictable and reserved."""
    books = Books(2)
    shared = books.take()
    first, second = books.node("a", shared), books.node("b", shared)
    books.ledger.return_page(shared)
    assert books.ledger.retain((), 1)
    page = books.take()
    assert books.ledger.available == 1
    assert books.ledger.attach(first, page) and second.page == shared
    assert books.ledger.available == 1 and books.faults() == []


def test_check_names_a_broken_reservation() -> None:
    books = Books(1)
    books.take()
    books.ledger.reserved = 1
    assert books.ledger.check() == ["1 pages are reserved, 0 are free or evictable"]
