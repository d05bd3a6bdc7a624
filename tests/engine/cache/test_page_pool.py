from __future__ import annotations

import random

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import SCRATCH, PagePool, PageShape

SHAPE = PageShape(layers=2, kv_heads=3, head_dim=4, dtype=torch.bfloat16)


def make_pool(pages: int) -> PagePool:
    return PagePool(SHAPE, pages + 1, torch.device("cpu"))


def test_a_page_has_k_and_v_of_all_layers() -> None:
    pool = make_pool(2)
    assert SHAPE.bytes == 2 * 2 * 3 * PAGE_TOKENS * 4 * 2
    assert pool.kv.shape == (2, 2, 3, 3, PAGE_TOKENS, 4)  # layers, K and V, heads, pages
    assert pool.kv.nbytes == 3 * SHAPE.bytes
    assert not pool.kv.any()


def test_the_scratch_page_is_never_handed_out() -> None:
    pool = make_pool(3)
    assert pool.total == 3
    assert SCRATCH not in {pool.allocate() for _ in range(3)}
    with pytest.raises(MemoryError):
        pool.allocate()


def test_a_page_is_free_when_its_last_holder_lets_go() -> None:
    pool = make_pool(2)
    page = pool.allocate()
    pool.add_holder(page)
    pool.remove_holder(page)
    assert pool.free == 1
    pool.remove_holder(page)
    assert pool.free == 2


def test_nothing_of_its_last_holder_is_left_in_a_page() -> None:
    pool = make_pool(1)
    page = pool.allocate()
    pool.clear(page)
    pool.kv[:, :, :, page] = float("nan")
    pool.remove_holder(page)
    assert pool.allocate() == page
    pool.clear(page)
    assert not pool.kv.any()


def test_neighbours_are_preferred() -> None:
    pool = make_pool(6)
    first = pool.allocate()
    pool.allocate()
    third = pool.allocate()
    assert pool.allocate(third) == third + 1
    assert pool.allocate(first) not in (first, first + 1)


def test_any_order_of_taking_and_giving_back_keeps_the_count() -> None:
    pool, source = make_pool(12), random.Random(3)
    held: list[int] = []
    for _ in range(3000):
        if held and (pool.free == 0 or source.random() < 0.5):
            pool.remove_holder(held.pop(source.randrange(len(held))))
        else:
            page = pool.allocate(source.choice(held) if held and source.random() < 0.7 else None)
            assert page not in held
            held.append(page)
        assert pool.free + len(held) == pool.total
        assert len(pool._free) <= 4 * len(pool.refs) + 1


def test_pages_are_copied_to_the_position_and_survive_as_bytes() -> None:
    pool = make_pool(3)
    one, two, three = (pool.allocate() for _ in range(3))
    pool.kv[:, :, :, one] = torch.randn(2, 2, 3, PAGE_TOKENS, 4)
    pool.copy_prefix(one, two, 100)
    assert torch.equal(pool.kv[:, :, :, two, :100], pool.kv[:, :, :, one, :100])
    assert not pool.kv[:, :, :, two, 100:].any()
    assert torch.equal(pool.rows(two, 100), pool.rows(one, 100))
    payload = pool.read(one)
    assert len(payload) == SHAPE.bytes
    pool.write(three, payload)
    assert torch.equal(pool.kv[:, :, :, three], pool.kv[:, :, :, one])
    with pytest.raises(ValueError, match="bytes"):
        pool.write(three, payload[:-1])


def test_used_positions_alone_come_back_in_front_of_zeros() -> None:
    pool = make_pool(2)
    source, target = pool.allocate(), pool.allocate()
    pool.kv[:, :, :, source] = torch.randn(2, 2, 3, PAGE_TOKENS, 4)
    payload = pool.read(source, 9)
    assert len(payload) == SHAPE.bytes_of(9) == SHAPE.bytes * 9 // PAGE_TOKENS
    buffer = bytearray(SHAPE.bytes)
    assert bytes(pool.read_into(source, buffer, 9)) == payload
    pool.write(target, payload, 9)
    assert torch.equal(pool.kv[:, :, :, target, :9], pool.kv[:, :, :, source, :9])
    assert not pool.kv[:, :, :, target, 9:].any()
    with pytest.raises(ValueError, match="10 positions"):
        pool.write(target, payload, 10)
    pool.write(target, pool.read(source), 9)  # as partial pages were stored once
    assert torch.equal(pool.kv[:, :, :, target], pool.kv[:, :, :, source])


def test_a_pool_needs_a_page() -> None:
    with pytest.raises(ValueError, match="at least one page"):
        make_pool(0)
