"""Runs one tile: rows in, KV into pages, logits out."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kvproxy.core import PAGE_TOKENS, TokenLogprob
from kvproxy.engine.attention import Segment, build_plan
from kvproxy.engine.cache import KVCache
from kvproxy.engine.decoder import TileInput
from kvproxy.engine.logprobs import token_logprob
from kvproxy.engine.model import TileModel
from kvproxy.engine.sampler import Row, grammar_fault, sample
from kvproxy.engine.scheduler import Part, Work
from kvproxy.engine.sequence import Sequence
from kvproxy.errors import KVProxyError


@dataclass(frozen=True, slots=True)
class Sampled:
    """The next token of a sequence whose last known token was computed in this tile."""

    sequence: Sequence
    token: int
    logprob: TokenLogprob | None = None
    """Where it was asked for."""
    complete: bool = False
    """The sequence's grammar allows nothing but the end behind this token."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A sequence that cannot go on, whatever its batch mates do."""

    sequence: Sequence
    error: KVProxyError


class TileRunner:
    def __init__(self, model: TileModel, cache: KVCache) -> None:
        self._model = model
        self._cache = cache

    @torch.inference_mode()
    def run(self, work: Work) -> list[Sampled | Failed]:
        """Compute a tile. Modifies the pool, and each part's sequence: its pages, ``computed`` and, where it
        asked for them, ``logits``. Raises MemoryError only if a reservation was broken."""
        hidden = self._model.forward(self._tile(work), self._cache.pool.kv)
        sampling, rows, row = [], [], 0
        for part in work.parts:
            seq = part.sequence
            seq.computed += part.count
            self._score(part, hidden[row : row + part.count])
            row += part.count
            if seq.computed == len(seq.tokens) and seq.generated < seq.job.max_tokens:
                sampling.append(seq)
                rows.append(row - 1)
        if not sampling:
            return []
        logits = self._model.logits(hidden[rows])
        chosen = sample(logits, [_row(s) for s in sampling])
        return [_outcome(s, c, logits[i]) for i, (s, c) in enumerate(zip(sampling, chosen, strict=True))]

    def _tile(self, work: Work) -> TileInput:
        model = self._model
        tokens, positions = [0] * work.tile, [0] * work.tile
        segments, row = [], 0
        for part in work.parts:
            seq, end = part.sequence, part.start + part.count
            self._grow(seq, end)
            tokens[row : row + part.count] = seq.tokens[part.start : end]
            positions[row : row + part.count] = range(part.start, end)
            at = part.start
            while at < end:
                count = min(end - at, PAGE_TOKENS - at % PAGE_TOKENS)
                segments.append(Segment(row + at - part.start, at, count, seq.pages))
                at += count
            row += part.count
        plan = build_plan(segments, work.tile, model.group, model.numerics.granule, model.dtype, model.device)
        return TileInput(
            torch.tensor(tokens, device=model.device), torch.tensor(positions, device=model.device), plan
        )

    def _grow(self, seq: Sequence, end: int) -> None:
        """Give the sequence pages for positions up to ``end``, out of its reservation."""
        while len(seq.pages) * PAGE_TOKENS < end:
            assert seq.reserved > 0, "admission reserves every page a sequence may need"
            seq.pages.append(self._cache.take(seq.pages[-1] if seq.pages else None))
            seq.reserved -= 1

    def _score(self, part: Part, hidden: torch.Tensor) -> None:
        """Keep the logits of the positions that a scoring job asked for."""
        start = part.sequence.job.score_from
        if start is None:
            return
        skip = max(0, start - part.start)
        if skip < part.count:
            part.sequence.logits.append(self._model.logits(hidden[skip:]))


def _row(seq: Sequence) -> Row:
    job = seq.job
    return Row(job.sampling, job.seed, seq.generated, seq.penalties, job.constraint, seq.forbidden)


def _outcome(seq: Sequence, chosen: int | KVProxyError, logits: torch.Tensor) -> Sampled | Failed:
    """Moves the sequence's constraint on. logits: the row that the token was chosen from, float32 [vocab]."""
    if isinstance(chosen, KVProxyError):
        return Failed(seq, chosen)
    constraint, wanted = seq.job.constraint, seq.job.sampling.logprobs
    complete = False
    if constraint is not None:
        try:
            constraint.accept(chosen)
            complete = constraint.done
        except Exception as e:
            return Failed(seq, grammar_fault(e))
    logprob = None
    if wanted is not None and not seq.ends_with(chosen):
        logprob = token_logprob(logits, chosen, wanted, seq.detokenizer.vocabulary)
    return Sampled(seq, chosen, logprob, complete)
