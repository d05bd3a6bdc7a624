"""`best_possible_hits`: the most tokens that any routing could have found cached on a trace."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartRead:
    """One part of a prompt that later prompts may share: a document, or a session's own messages."""

    part: int
    """Its identity; a document's and a session's differ."""
    read: int
    """Blocks of it in this prompt."""
    stored: int
    """Blocks of it that there are afterwards: the answer's as well."""


def best_possible_hits(reads: Sequence[Sequence[PartRead]], capacity: int) -> list[int]:
    """Return the blocks of each read that are hits in one cache of all replicas' sizes together that knows the future.

    ``capacity``: blocks. It gives up the blocks whose next use is farthest, also those that were just computed
    (Belady), and blocks have one size, so no cache of that size has more hits; nor can any routing over several caches
    that sum to it, which may keep a block twice and may look at one cache only. Load, queues and the time that a
    prefill takes do not exist in it: it is a bound, which nothing reaches.

    Example: ``best_possible_hits([[PartRead(1, 4, 4)], [PartRead(1, 4, 4)]], capacity=8)`` is ``[0, 4]``
    """
    following = _next_uses(reads)
    held: dict[int, int] = {}
    due: dict[int, float] = {}
    farthest: list[tuple[float, int]] = []
    hits, total = [], 0
    for read, uses in zip(reads, following, strict=True):
        found = 0
        for one, use in zip(read, uses, strict=True):
            have = held.get(one.part, 0)
            found += min(have, one.read)
            total += one.stored - have
            held[one.part], due[one.part] = one.stored, use
            heapq.heappush(farthest, (-use, one.part))
        hits.append(found)
        while total > capacity:
            total -= _give_up(farthest, held, due, total - capacity)
    return hits


def _give_up(
    farthest: list[tuple[float, int]], held: dict[int, int], due: dict[int, float], excess: int
) -> int:
    """Drop blocks of the part that is needed last; return how many. Entries of earlier reads are passed over."""
    use, part = farthest[0]
    have = held.get(part, 0)
    if not have or due[part] != -use:
        heapq.heappop(farthest)
        return 0
    dropped = min(have, excess)
    held[part] = have - dropped
    if dropped == have:
        heapq.heappop(farthest)
        del held[part]
    return dropped


def _next_uses(reads: Sequence[Sequence[PartRead]]) -> list[list[float]]:
    """Return, for each part of each read, the number of the next read that has it."""
    seen: dict[int, int] = {}
    uses: list[list[float]] = []
    for number in range(len(reads) - 1, -1, -1):
        uses.append([seen.get(one.part, math.inf) for one in reads[number]])
        seen.update((one.part, number) for one in reads[number])
    uses.reverse()
    return uses
