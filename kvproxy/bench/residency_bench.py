"""``kvproxy bench residency``: block hashes, and the index of which replicas hold how much of a prompt."""

from __future__ import annotations

import gc
import hashlib
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
from rich.table import Table

from kvproxy.bench.machine import machine
from kvproxy.residency.block_hashes import BlockHashes
from kvproxy.residency.kv_events import BlocksRemoved, BlocksStored
from kvproxy.residency.residency_index import ResidencyIndex
from kvproxy.runtime.garbage_collection import frozen, own_clock
from kvproxy.terminal.tables import console

_TOKENS = 48_000
_BLOCK_TOKENS = (16, 32, 128)
_SHORTEST, _LONGEST = 16, 3_000
"""Blocks of a document: the lengths are spread evenly over the orders of magnitude between."""
_COPIES = (1, 1, 2, 3)
"""Replicas that hold a document, drawn for each."""
_EVENT_BLOCKS = 64
"""Blocks of an event that stores: a chunk of a prefill."""


@dataclass(frozen=True, slots=True)
class ResidencyPlan:
    """A measurement: sizes of the fleet, blocks that its replicas hold together, look-ups for each size."""

    replicas: tuple[int, ...] = (1, 16, 1000)
    blocks: int = 4_000_000
    lookups: int = 2_000
    seed: int = 0


def bench_residency(plan: ResidencyPlan) -> dict[str, Any]:
    """Measure hashing, and for each size of the fleet an index filled by events, look-ups in it, and its memory.

    Chains are random; no vLLM and no socket take part. Times are microseconds.

    Example: ``bench_residency(ResidencyPlan(replicas=(2,), blocks=10_000, lookups=50))``
    """
    with own_clock():
        return {
            "machine": machine(),
            "hashing": [_hashing(size, random.Random(plan.seed)) for size in _BLOCK_TOKENS],
            "index": [_indexed(count, plan) for count in plan.replicas],
        }


def _hashing(size: int, source: random.Random) -> dict[str, Any]:
    ids = [source.randrange(150_000) for _ in range(_TOKENS)]
    hashes = BlockHashes(size)
    known = hashes.hashed(ids[:-size])
    own = _best(lambda: hashes.chain(ids))
    return {
        "block_tokens": size,
        "us_per_1000_tokens": round(own / _TOKENS * 1e9, 1),
        "cbor2_us_per_1000_tokens": _cbor2_us(ids, size, hashes),
        "continue_one_block_us": round(_best(lambda: hashes.continue_from(known, ids[-size:])) * 1e6, 1),
    }


def _cbor2_us(ids: Sequence[int], size: int, hashes: BlockHashes) -> float | None:
    """Return what vLLM's own way costs, cbor2 for each block; None where cbor2 is missing."""
    try:
        import cbor2
    except ImportError:
        return None

    def chain() -> bytes:
        digest = hashes.root
        for start in range(0, len(ids) - size + 1, size):
            block = cbor2.dumps((digest, tuple(ids[start : start + size]), None), canonical=True)
            digest = hashlib.sha256(block).digest()
        return digest

    assert int.from_bytes(chain()[24:], "big") == hashes.chain(ids)[-1], "the two ways differ"
    return round(_best(chain) / len(ids) * 1e9, 1)


def _best(work: Callable[[], object], rounds: int = 5) -> float:
    spent = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begun)
    return min(spent)


def _indexed(count: int, plan: ResidencyPlan) -> dict[str, Any]:
    source = random.Random(plan.seed + count)
    names = [f"10.0.{n // 250}.{n % 250}:8000" for n in range(count)]
    held = list(_documents(names, plan.blocks, source))
    gc.collect()
    before = psutil.Process().memory_info().rss
    index = ResidencyIndex()
    spent = []
    for replica, chain in held:
        begun = time.perf_counter()
        index.apply(replica, _stored(chain))
        spent.append(time.perf_counter() - begun)
    pairs = sum(len(chain) for _, chain in held)
    grown = psutil.Process().memory_info().rss - before
    with frozen():
        return {
            "replicas": count,
            "documents": len({chain[0] for _, chain in held}),
            "blocks": index.size.blocks,
            "block_replica_pairs": pairs,
            "store_us_per_block": round(sum(spent) / pairs * 1e6, 3),
            "longest_apply_ms": round(max(spent) * 1e3, 2),
            "remove_us_per_event": _removal_us(index, held, source),
            "table_bytes_per_block": round(index.size.table_bytes / index.size.blocks, 1),
            "grown_bytes_per_block": round(grown / index.size.blocks, 1),
            "holder_sets": index.size.holder_sets,
            "lookups": [_lookups(index, held, most, plan.lookups, source) for most in (64, _LONGEST)],
            # After the look-ups: what it clears they would miss.
            "clear_us": round(_one(lambda: index.clear(names[0])) * 1e6, 1),
        } | _naive(held, plan.lookups, source)


def _documents(
    names: Sequence[str], blocks: int, source: random.Random
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield replicas with the chains that they hold, until there are so many blocks at all of them together."""
    made = 0
    while made < blocks:
        length = round(math.exp(source.uniform(math.log(_SHORTEST), math.log(_LONGEST))))
        chain = tuple(source.getrandbits(64) for _ in range(length))
        for replica in source.sample(names, min(len(names), source.choice(_COPIES))):
            made += length
            yield replica, chain


def _stored(chain: Sequence[int]) -> list[BlocksStored]:
    return [
        BlocksStored(tuple(chain[begin : begin + _EVENT_BLOCKS]), parent=chain[begin - 1] if begin else None)
        for begin in range(0, len(chain), _EVENT_BLOCKS)
    ]


def _removal_us(
    index: ResidencyIndex, held: Sequence[tuple[str, tuple[int, ...]]], source: random.Random
) -> float:
    """Return the time of a batch that removes one block and stores it again, as a full cache's steps do; half of it."""
    spent = []
    for replica, chain in source.choices(held, k=2_000):
        begun = time.perf_counter()
        index.apply(replica, [BlocksRemoved(chain[-1:])])
        index.apply(replica, [BlocksStored(chain[-1:], parent=0)])
        spent.append(time.perf_counter() - begun)
    return round(statistics.median(spent) / 2 * 1e6, 2)


def _lookups(
    index: ResidencyIndex,
    held: Sequence[tuple[str, tuple[int, ...]]],
    most: int,
    count: int,
    source: random.Random,
) -> dict[str, Any]:
    """Return p50 and p99 of look-ups of chains of at most ``most`` blocks with a question of two blocks behind."""
    spent, lengths = [], []
    for replica, chain in source.choices(held, k=count):
        asked = (*chain[:most], source.getrandbits(64), source.getrandbits(64))
        begun = time.perf_counter()
        found = index.longest(asked)
        spent.append(time.perf_counter() - begun)
        lengths.append(len(asked))
        assert found.get(replica) == len(asked) - 2, "a held document was not found"
    return {"most_blocks": most, "mean_blocks": round(statistics.fmean(lengths))} | _quantiles(spent)


def _naive(held: Sequence[tuple[str, tuple[int, ...]]], count: int, source: random.Random) -> dict[str, Any]:
    """Return look-ups and memory of a dictionary of sets, for the same blocks."""
    gc.collect()
    before = psutil.Process().memory_info().rss
    sets: dict[int, set[str]] = {}
    for replica, chain in held:
        for block in chain:
            sets.setdefault(block, set()).add(replica)
    grown = psutil.Process().memory_info().rss - before
    spent = []
    for _, chain in source.choices(held, k=count):
        begun = time.perf_counter()
        alive = set(sets[chain[0]])
        for block in chain[:64]:
            alive &= sets.get(block, set())
        spent.append(time.perf_counter() - begun)
    return {"sets_bytes_per_block": round(grown / len(sets), 1), "sets_lookup_64": _quantiles(spent)}


def _one(work: Callable[[], object]) -> float:
    return _best(work, rounds=1)


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50_us": round(cuts[49] * 1e6, 1), "p99_us": round(cuts[98] * 1e6, 1)}


def print_residency(result: Mapping[str, Any]) -> None:
    """Print the tables of ``kvproxy bench residency``."""
    out = console()
    table = Table("block", "hash 1,000 tokens", "with cbor2", "one block more", box=None)
    for row in result["hashing"]:
        table.add_row(
            f"{row['block_tokens']} tokens",
            f"{row['us_per_1000_tokens']:,} us",
            f"{row['cbor2_us_per_1000_tokens'] or '-'} us",
            f"{row['continue_one_block_us']:,} us",
        )
    out.print(table)
    table = Table(
        "replicas", "blocks", "store", "remove", "clear", "longest apply", "memory", "of sets", box=None
    )
    for row in result["index"]:
        table.add_row(
            f"{row['replicas']:,}",
            f"{row['blocks']:,}",
            f"{row['store_us_per_block']} us a block",
            f"{row['remove_us_per_event']} us",
            f"{row['clear_us']} us",
            f"{row['longest_apply_ms']} ms",
            f"{row['table_bytes_per_block']} B a block",
            f"{row['sets_bytes_per_block']} B a block",
        )
    out.print(table)
    table = Table("replicas", "look-up of blocks", "p50", "p99", "sets, 64 blocks", box=None)
    for row in result["index"]:
        for found in row["lookups"]:
            table.add_row(
                f"{row['replicas']:,}",
                f"{found['mean_blocks']} (at most {found['most_blocks']:,})",
                f"{found['p50_us']:,} us",
                f"{found['p99_us']:,} us",
                f"{row['sets_lookup_64']['p50_us']:,} us",
            )
    out.print(table)
    out.print(f"{result['machine']['cpu']}, Python {result['machine']['python']}.", soft_wrap=True)
