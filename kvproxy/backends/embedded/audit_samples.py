"""Hits that were served and wait to be audited: a bounded queue that loses rather than grows."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass

from kvproxy.backends.base import Generation
from kvproxy.engine.loop.sequence import Sequence

MOST = 16
"""A hit that waits keeps its tokens and the hidden states of its tail: some MB for a large model."""


@dataclass(frozen=True, slots=True)
class ServedHit:
    """A served hit that waits for its audit: the job and the tokens of its answer."""

    generation: Generation
    sequence: Sequence
    """Ended, with its tokens and scored hidden states; its pages are given back."""


class AuditSamples:
    """A share of the hits, ``rate`` from 0 to 1. Event loop only."""

    def __init__(self, rate: float, *, most: int = MOST, source: random.Random | None = None) -> None:
        self._rate = rate
        self._most = most
        self._source = source or random.Random()
        self._waiting: deque[ServedHit] = deque()
        self._arrived = asyncio.Event()
        self.dropped = 0
        """Hits that were chosen, but not audited since too many waited."""

    def __len__(self) -> int:
        return len(self._waiting)

    def wanted(self) -> bool:
        """Decide, before the next hit runs, whether its logits and tokens are kept for an audit."""
        return self._rate > 0 and self._source.random() < self._rate

    def put(self, hit: ServedHit) -> None:
        """Add a served hit; dropped and counted where the queue is full."""
        if len(self._waiting) >= self._most:
            self.dropped += 1
            return
        self._waiting.append(hit)
        self._arrived.set()

    async def get(self) -> ServedHit:
        """Return the sample that has waited longest."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()
