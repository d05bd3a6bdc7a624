"""Replicas that hash otherwise: mapped by the tokens of their events, bounded, never wrong."""

from __future__ import annotations

from kvproxy.residency.block_hashes import BlockHashes
from kvproxy.residency.hash_aliases import HashAliases
from kvproxy.residency.kv_events import AllCleared, BlocksRemoved, BlocksStored

HASHES = BlockHashes(4)
IDS = tuple(range(100, 116))
OURS = HASHES.chain(IDS, "s")


def stored(*blocks: int, begin: int = 0, parent: int | None = None, **more: object) -> BlocksStored:
    ids = IDS[begin * 4 : (begin + len(blocks)) * 4]
    fields = {"token_ids": ids, "block_tokens": 4, "salt": "s" if parent is None else None} | more
    return BlocksStored(tuple(blocks), "device", parent, **fields)  # type: ignore[arg-type]  # test's own fields


def test_equal_hashes_pass_without_their_tokens() -> None:
    aliases = HashAliases(HASHES)
    (event,) = aliases.translate(stored(*OURS))
    assert event == BlocksStored(OURS, "device", None, (), 4, "s")
    assert aliases.counts.same is True
    assert aliases.translate(BlocksRemoved((5,))) == (BlocksRemoved((5,)),)


def test_other_hashes_are_mapped_along_the_chain() -> None:
    aliases = HashAliases(HASHES)
    (first,) = aliases.translate(stored(1, 2))
    (then,) = aliases.translate(stored(3, 4, begin=2, parent=2))
    assert isinstance(first, BlocksStored) and isinstance(then, BlocksStored)
    assert first.hashes + then.hashes == OURS
    assert aliases.counts.same is False
    assert aliases.translate(BlocksRemoved((4, 99), "host")) == (BlocksRemoved((OURS[3], 99), "host"),)
    # The same block in another tier, told without its tokens.
    assert aliases.translate(BlocksStored((3,), "host")) == (BlocksStored((OURS[2],), "host"),)


def test_a_block_behind_an_unknown_one_is_counted_and_dropped() -> None:
    aliases = HashAliases(HASHES)
    aliases.translate(stored(1))
    assert aliases.translate(stored(3, begin=2, parent=77)) == ()
    assert aliases.counts.unmapped == 1


def test_a_forgotten_block_counts_as_removed() -> None:
    aliases = HashAliases(HASHES, most=2)
    aliases.translate(stored(1, 2))
    mapped, gone = aliases.translate(stored(3, begin=2, parent=2))
    assert isinstance(mapped, BlocksStored) and mapped.hashes == OURS[2:3]
    assert gone == BlocksRemoved(OURS[:1], "unknown")


def test_a_clear_forgets_the_map() -> None:
    aliases = HashAliases(HASHES)
    aliases.translate(stored(1, 2))
    assert aliases.translate(AllCleared()) == (AllCleared(),)
    assert aliases.counts.same is None
    assert aliases.translate(stored(*OURS)) != ()
    assert aliases.counts.same is True


def test_what_is_no_plain_prompt_or_has_other_blocks_is_left_out() -> None:
    aliases = HashAliases(HASHES)
    assert aliases.translate(stored(1, plain=False)) == ()
    assert aliases.translate(stored(1, block_tokens=8)) == ()
    assert aliases.counts.other_block == 8
