"""Runs one tile: rows in, KV into pages, logits out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache import KVCache
from kvproxy.engine.model import TileModel
from kvproxy.engine.plan import Segment
from kvproxy.engine.sampler import greedy
from kvproxy.engine.scheduler import Part, Work
from kvproxy.engine.sequence import Sequence
from kvproxy.engine.steps import run_through
from kvproxy.engine.tiles import Tile


@dataclass(frozen=True, slots=True)
class Scored:
    """What the next tokens of a sequence, whose last known one was computed in this tile, are chosen from."""

    sequence: Sequence
    draft: tuple[int, ...]
    logits: torch.Tensor
    """float32 [1 + len(draft), vocab]: behind the last known token, and behind each drafted one."""
    greedy: list[int]
    """The likeliest token of each row."""


class TileRunner:
    def __init__(self, model: TileModel, cache: KVCache) -> None:
        self._model = model
        self._cache = cache

    def run(self, work: Work) -> list[Scored]:
        """All of :meth:`pieces` without a rest."""
        return run_through(self.pieces(work))

    @torch.inference_mode()
    def pieces(self, work: Work) -> Generator[None, None, list[Scored]]:
        """Compute a tile. Modifies the pool, and each part's sequence: its pages, ``computed`` (known tokens only:
        what was drafted is the answer's when it was chosen) and, where it asked for them, scored hidden states.
        Raises MemoryError only if a reservation was broken.

        Rests where it yields; other tiles may run there, with rows of other sequences.
        """
        hidden = yield from self._model.steps(self._tile(work), self._cache.pool.kv)
        scoring: list[Part] = []
        rows: list[int] = []
        row = 0
        for part in work.parts:
            seq = part.sequence
            seq.computed += part.count - len(part.draft)
            seq.score(part.start, hidden[row : row + part.count])
            row += part.count
            if seq.computed == len(seq.tokens) and seq.generated < seq.job.max_tokens:
                scoring.append(part)
                rows.extend(range(row - 1 - len(part.draft), row))
        if not scoring:
            return []
        logits = self._model.logits(hidden[rows])
        likeliest = greedy(logits)
        results, first = [], 0
        for part in scoring:
            end = first + 1 + len(part.draft)
            results.append(Scored(part.sequence, part.draft, logits[first:end], likeliest[first:end]))
            first = end
        return results

    def _tile(self, work: Work) -> Tile:
        tokens, positions = [0] * work.tile, [0] * work.tile
        segments, row = [], 0
        for part in work.parts:
            seq, end = part.sequence, part.start + part.count
            self._grow(seq, end)
            tokens[row : row + part.count] = (*seq.tokens[part.start : end - len(part.draft)], *part.draft)
            positions[row : row + part.count] = range(part.start, end)
            at = part.start
            while at < end:
                count = min(end - at, PAGE_TOKENS - at % PAGE_TOKENS)
                segments.append(Segment(row + at - part.start, at, count, seq.pages))
                at += count
            row += part.count
        return self._model.tile(tokens, positions, segments)

    def _grow(self, seq: Sequence, end: int) -> None:
        """Give the sequence pages for positions up to ``end``, out of its reservation."""
        while len(seq.pages) * PAGE_TOKENS < end:
            assert seq.reserved > 0, "a page is promised before a row is computed for it"
            seq.pages.append(self._cache.take(seq.pages[-1] if seq.pages else None))
            seq.reserved -= 1
