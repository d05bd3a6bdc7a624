"""Runs one tile: token rows in, KV into pages, logits out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.decode.sampler import greedy
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.isolation import TileFailed
from kvproxy.engine.loop.scheduler import Part, TileWork
from kvproxy.engine.loop.sequence import Sequence
from kvproxy.engine.tiling.segment import Segment
from kvproxy.engine.tiling.tiles import Tile


@dataclass(frozen=True, slots=True)
class Scored:
    """Logits that the next tokens of one sequence are chosen from; its last known token was computed in this tile."""

    sequence: Sequence
    draft: tuple[int, ...]
    logits: torch.Tensor
    """float32 [1 + len(draft), vocab]: behind the last known token, and behind each drafted one."""
    greedy: list[int]
    """The likeliest token of each row."""


TilePieces = Generator[None, None, list[Scored]]
"""A tile under way: yields between two layers where other tiles may run, and returns the scored sequences."""


class TileRunner:
    """Runs tiles on ``model`` and stores their KV in the pages of ``cache``. Engine thread only.

    :meth:`run` and :meth:`pieces` modify the pool, and each part's sequence: its pages, ``computed`` (known tokens
    only: drafted ones are counted when they are chosen) and, where the job scores, its hidden states. An exception
    that concerns one sequence alone becomes its ``failure``. Both raise TileFailed with the sequences that cannot go
    on.
    """

    def __init__(self, model: TileModel, cache: KVCache) -> None:
        self._model = model
        self._cache = cache

    @torch.inference_mode()
    def run(self, work: TileWork) -> list[Scored]:
        """Compute a tile without a pause."""
        tile = self._tile_on_pages(work)
        try:
            return self._scored(work, self._model.tiles.run(tile, self._cache.pool.kv))
        except Exception as e:
            raise TileFailed(part.sequence for part in work.parts) from e

    @torch.inference_mode()
    def pieces(self, work: TileWork) -> TilePieces:
        """Compute a tile, pausing between layers; tiles with rows of other sequences may run in the pauses."""
        tile = self._tile_on_pages(work)
        try:
            return self._scored(work, (yield from self._model.tiles.steps(tile, self._cache.pool.kv)))
        except Exception as e:
            raise TileFailed(part.sequence for part in work.parts) from e

    def _tile_on_pages(self, work: TileWork) -> Tile:
        """Take the pages that the rows need and lay the tile out on them. Raises TileFailed."""
        for part in work.parts:
            self._take_pages(part)
        try:
            return self._tile(work)
        except Exception as e:
            raise TileFailed(part.sequence for part in work.parts) from e

    def _scored(self, work: TileWork, hidden: torch.Tensor) -> list[Scored]:
        """Count the computed rows and compute the logits that are needed. hidden: [rows, hidden size], after the
        last norm."""
        scoring: list[Part] = []
        rows: list[int] = []
        row = 0
        for part in work.parts:
            seq = part.sequence
            seq.computed += part.count - len(part.draft)
            if seq.job.score_from is not None:
                try:
                    seq.score(part.start, hidden[row : row + part.count])
                except Exception as e:  # such as no memory for all the hidden states that the job keeps
                    seq.failure = e
            row += part.count
            if seq.computed == len(seq.tokens) and seq.generated < seq.job.max_tokens:
                scoring.append(part)
                rows.extend(range(row - 1 - len(part.draft), row))
        if not scoring:
            return []
        logits = self._model.tiles.logits(hidden[rows])
        likeliest = greedy(logits)
        results, first = [], 0
        for part in scoring:
            end = first + 1 + len(part.draft)
            results.append(Scored(part.sequence, part.draft, logits[first:end], likeliest[first:end]))
            first = end
        return results

    def _tile(self, work: TileWork) -> Tile:
        tokens: list[int] = []
        positions: list[int] = []
        segments: list[Segment] = []
        for part in work.parts:
            seq, at, end = part.sequence, part.start, part.start + part.count
            row = len(tokens) - at
            tokens += (*seq.tokens[at : end - len(part.draft)], *part.draft)
            positions += range(at, end)
            while at < end:
                count = min(end - at, PAGE_TOKENS - at % PAGE_TOKENS)
                segments.append(Segment(row + at, at, count, seq.pages))
                at += count
        return self._model.tiles.tile(tokens, positions, segments)

    def _take_pages(self, part: Part) -> None:
        """Give the sequence pages for its rows, out of its reservation. Raises TileFailed for it alone."""
        seq = part.sequence
        try:
            while len(seq.pages) * PAGE_TOKENS < part.start + part.count:
                assert seq.reserved > 0, "a page must be reserved before a row is computed for it"
                seq.pages.append(self._cache.take(seq.pages[-1] if seq.pages else None))
                seq.reserved -= 1
        except Exception as e:
            raise TileFailed([seq]) from e
