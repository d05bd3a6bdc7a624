"""Block hashes against vLLM 0.32's own functions and against cbor2."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.residency.block_hashes import BlockHashes, first_extra, short_hash

GOLDEN: list[Any] = json.loads(
    (Path(__file__).parent / "golden_block_hashes.json").read_text(encoding="utf-8")
)
"""Seed, block size, tokens, salt, blocks, and the first, middle and last hash: made with vLLM 0.32.0's
``hash_block_tokens`` and ``sha256_cbor`` over the tokens of `golden_tokens`, events' 64 bits of each."""


def golden_tokens(block: int, count: int) -> list[int]:
    source = random.Random(count * block)
    return [source.randrange(2 ** source.choice([3, 5, 8, 16, 18, 31])) for _ in range(count)]


@pytest.mark.parametrize(("seed", "block", "count", "salt", "blocks", "hashes"), GOLDEN)
def test_hashes_are_vllms(
    seed: str | None, block: int, count: int, salt: str | None, blocks: int, hashes: list[str]
) -> None:
    chain = BlockHashes(block, seed).chain(golden_tokens(block, count), salt)
    assert len(chain) == blocks == count // block
    some = [chain[0], chain[len(chain) // 2], chain[-1]] if chain else []
    assert [f"{one:016x}" for one in some] == hashes


IDS = st.lists(
    st.integers(0, 2**63 - 1)
    | st.integers(0, 300)
    | st.sampled_from([23, 24, 255, 256, 65535, 65536, 2**32]),
    max_size=70,
)


@given(ids=IDS, block=st.integers(1, 40), salt=st.none() | st.text(max_size=300), cut=st.integers(0, 80))
def test_any_tokens_hash_as_cbor2_writes_them(ids: list[int], block: int, salt: str | None, cut: int) -> None:
    hashes = BlockHashes(block)
    digest = hashlib.sha256(cbor2.dumps("vllm-none-hash", canonical=True)).digest()
    expected = []
    for start in range(0, len(ids) - block + 1, block):
        extra = (("cache_salt", salt),) if salt and start == 0 else None
        told = cbor2.dumps((digest, tuple(ids[start : start + block]), extra), canonical=True)
        digest = hashlib.sha256(told).digest()
        expected.append(int.from_bytes(digest, "big") & (2**64 - 1))
    assert hashes.chain(ids, salt) == tuple(expected)
    whole = cut // block * block
    begun = hashes.hashed(ids[:whole], salt)
    assert hashes.continue_from(begun, ids[whole:]) == hashes.hashed(ids, salt)


@given(salt=st.text(min_size=1, max_size=200))
def test_a_salts_keys_are_cbor(salt: str) -> None:
    assert first_extra(salt) == cbor2.dumps((("cache_salt", salt),), canonical=True)


def test_short_hashes_are_the_low_bits() -> None:
    digest = bytes(range(32))
    assert short_hash(digest) == short_hash(int.from_bytes(digest[-8:], "big")) == 0x18191A1B1C1D1E1F
    assert short_hash(-1) == 2**64 - 1
    assert short_hash(b"") == 0


def test_an_empty_salt_is_none() -> None:
    hashes = BlockHashes(4)
    assert hashes.chain(range(8), "") == hashes.chain(range(8))
    assert hashes.chain(range(8), "a") != hashes.chain(range(8))


@pytest.mark.parametrize("ids", [[-1] * 4, [2**64] * 4])
def test_what_is_no_token_id_is_refused(ids: list[int]) -> None:
    with pytest.raises(ValueError):
        BlockHashes(4).chain(ids)


def test_a_block_has_tokens() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BlockHashes(0)
