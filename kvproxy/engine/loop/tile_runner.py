"""Runs one tile: rows in, KV into pages, logits out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.decode.sampler import greedy
from kvproxy.engine.forward.attention.call_plan import Segment
from kvproxy.engine.forward.interruptible import run_through
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.forward.tiles import Tile
from kvproxy.engine.loop.isolation import TileFailed
from kvproxy.engine.loop.scheduler import Part, TileWork
from kvproxy.engine.loop.sequence import Sequence


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

    def run(self, work: TileWork) -> list[Scored]:
        """All of :meth:`pieces` without a rest."""
        return run_through(self.pieces(work))

    @torch.inference_mode()
    def pieces(self, work: TileWork) -> Generator[None, None, list[Scored]]:
        """Compute a tile. Modifies the pool, and each part's sequence: its pages, ``computed`` (known tokens only:
        what was drafted is the answer's when it was chosen) and, where it asked for them, scored hidden states; what
        failed for one sequence alone is its ``failure``. Raises TileFailed, which says who cannot go on.

        Rests where it yields; other tiles may run there, with rows of other sequences.
        """
        for part in work.parts:
            self._grow(part)
        try:
            hidden = yield from self._model.steps(self._tile(work), self._cache.pool.kv)
            return self._scored(work, hidden)
        except Exception as e:
            raise TileFailed(part.sequence for part in work.parts) from e

    def _scored(self, work: TileWork, hidden: torch.Tensor) -> list[Scored]:
        """hidden: [rows, hidden size], after the last norm."""
        scoring: list[Part] = []
        rows: list[int] = []
        row = 0
        for part in work.parts:
            seq = part.sequence
            seq.computed += part.count - len(part.draft)
            try:
                seq.score(part.start, hidden[row : row + part.count])
            except Exception as e:  # as where there is no memory for all that it wants to keep
                seq.failure = e
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

    def _tile(self, work: TileWork) -> Tile:
        tokens, positions = [0] * work.tile, [0] * work.tile
        segments, row = [], 0
        for part in work.parts:
            seq, end = part.sequence, part.start + part.count
            tokens[row : row + part.count] = (*seq.tokens[part.start : end - len(part.draft)], *part.draft)
            positions[row : row + part.count] = range(part.start, end)
            at = part.start
            while at < end:
                count = min(end - at, PAGE_TOKENS - at % PAGE_TOKENS)
                segments.append(Segment(row + at - part.start, at, count, seq.pages))
                at += count
            row += part.count
        return self._model.tile(tokens, positions, segments)

    def _grow(self, part: Part) -> None:
        """Give the sequence pages for its rows, out of its reservation. Raises TileFailed for it alone."""
        seq = part.sequence
        try:
            while len(seq.pages) * PAGE_TOKENS < part.start + part.count:
                assert seq.reserved > 0, "a page is promised before a row is computed for it"
                seq.pages.append(self._cache.take(seq.pages[-1] if seq.pages else None))
                seq.reserved -= 1
        except Exception as e:
            raise TileFailed([seq]) from e
