from __future__ import annotations

import random

import pytest

from kvproxy.backends.fleet.block_memo import STRIDE_TOKENS, BlockMemo
from kvproxy.residency.block_hashes import BlockHashes


@pytest.mark.parametrize("block", [16, 48, 128, 4096])
@pytest.mark.parametrize("tokens", [0, 15, 16, STRIDE_TOKENS, STRIDE_TOKENS + 1, 3 * STRIDE_TOKENS + 77])
def test_hashes_are_those_of_the_whole_chain_the_first_time_and_again(block: int, tokens: int) -> None:
    ids = [random.Random(1).randrange(50_000) for _ in range(tokens)]
    plain = BlockHashes(block)
    memo = BlockMemo(BlockHashes(block))
    assert memo.chain(ids, "salt") == plain.chain(ids, "salt")
    assert memo.chain(ids, "salt") == plain.chain(ids, "salt")
    assert memo.chain(ids, "other") == plain.chain(ids, "other")


def test_a_prompt_that_goes_on_differently_shares_its_beginning_only() -> None:
    memo, plain = BlockMemo(BlockHashes(16)), BlockHashes(16)
    first, second = list(range(5000)), [*range(4999), 7]
    assert memo.chain(first, "s") == plain.chain(first, "s")
    assert memo.chain(second, "s") == plain.chain(second, "s")
    assert len(memo._made) == 2  # the two whole strides, once each


def test_the_work_ends_where_nobody_has_the_blocks() -> None:
    memo = BlockMemo(BlockHashes(16))
    seen: list[int] = []

    def go_on(hashes: tuple[int, ...]) -> bool:
        seen.append(len(hashes))
        return False

    assert len(memo.chain(range(10_000), "s", go_on)) == STRIDE_TOKENS // 16
    assert seen == [STRIDE_TOKENS // 16]


def test_it_remembers_no_more_than_it_may() -> None:
    memo = BlockMemo(BlockHashes(16), most=3)
    for salt in range(10):
        memo.chain(range(STRIDE_TOKENS), str(salt))
    assert len(memo._made) == 3
