"""`FakeEngine`: runs requests on the fake cache: a queue, prefill by uncached tokens, a step for each token."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kvproxy.fake_replica.event_socket import EventSocket
from kvproxy.fake_replica.fake_generation import AnswerStep, FakeGeneration
from kvproxy.fake_replica.fake_kv_cache import FakeKvCache, HeldSequence
from kvproxy.fake_replica.replica_hashes import ReplicaHashes
from kvproxy.fake_replica.replica_options import ReplicaOptions


@dataclass(slots=True)
class EngineCounts:
    """Counts since the start, for ``/metrics``."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    queried_tokens: int = 0
    answer_tokens: int = 0
    finished: int = 0
    aborted: int = 0


@dataclass(frozen=True, slots=True)
class EnginePrompt:
    """One prompt as the engine takes it."""

    token_ids: tuple[int, ...]
    salt: str | None = None
    session: str | None = None
    read_cache: bool = True


class FakeEngine:
    """One scheduler: first come, first served; events leave only with a step of it."""

    def __init__(self, options: ReplicaOptions, events: EventSocket | None) -> None:
        self._options = options
        self._events = events
        self._queue: deque[object] = deque()
        self._changed = asyncio.Event()
        self._prefilled_at = 0.0
        self.running = 0
        self.forget()

    def forget(self) -> None:
        """Start as a new process: an empty cache, zero counts, another fingerprint."""
        self.cache = FakeKvCache(
            self._options.blocks, self._options.block_tokens, ReplicaHashes(self._options)
        )
        self.counts = EngineCounts()
        self.fingerprint = f"vllm-0.32.0-{secrets.token_hex(4)}"
        if self._events is not None:
            self._events.restart()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @asynccontextmanager
    async def request(self, prompt: EnginePrompt, answer: FakeGeneration) -> AsyncIterator[RunningRequest]:
        """Wait for room, then hold the request's blocks until the end."""
        cache = self.cache
        sequence = await self._admitted(prompt, len(answer.steps))
        self._count(prompt, sequence)
        request = RunningRequest(self, sequence, answer)
        self.running += 1
        try:
            yield request
        finally:
            self.running -= 1
            self.counts.finished += request.done
            self.counts.aborted += not request.done
            cache.end(sequence)
            self._changed.set()

    async def step(self) -> None:
        """Publish what happened in the cache since the last step."""
        happened = self.cache.take_events()
        if self._events is not None:
            await self._events.publish(happened)

    async def prefill(self, tokens: int) -> None:
        """Wait as long as computing ``tokens`` takes behind the prefills of other requests."""
        rate = self._options.prefill_tokens_per_s
        if rate is None:
            return
        now = asyncio.get_running_loop().time()
        self._prefilled_at = max(now, self._prefilled_at) + tokens / rate
        await asyncio.sleep(self._prefilled_at - now)

    async def decode(self) -> None:
        """Wait as long as one token takes."""
        if self._options.decode_s:
            await asyncio.sleep(self._options.decode_s)

    async def _admitted(self, prompt: EnginePrompt, answer_tokens: int) -> HeldSequence:
        ticket = object()
        self._queue.append(ticket)
        try:
            while self._queue[0] is not ticket or (sequence := self._begun(prompt, answer_tokens)) is None:
                self._changed.clear()
                await self._changed.wait()
            return sequence
        finally:
            self._queue.remove(ticket)
            self._changed.set()

    def _begun(self, prompt: EnginePrompt, answer_tokens: int) -> HeldSequence | None:
        if self.running >= self._options.most_running:
            return None
        return self.cache.begin(
            prompt.token_ids,
            answer_tokens,
            salt=prompt.salt,
            session=prompt.session,
            read=prompt.read_cache,
        )

    def _count(self, prompt: EnginePrompt, sequence: HeldSequence) -> None:
        self.counts.prompt_tokens += len(prompt.token_ids)
        self.counts.cached_tokens += sequence.cached_tokens
        if prompt.read_cache:
            self.counts.queried_tokens += len(prompt.token_ids)


class RunningRequest:
    """A request that has its blocks."""

    def __init__(self, engine: FakeEngine, sequence: HeldSequence, answer: FakeGeneration) -> None:
        self._engine = engine
        self._sequence = sequence
        self._cache = engine.cache
        self._answer = answer
        self.done = False
        """Whether the last token has been said."""

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that were cached."""
        return self._sequence.cached_tokens

    async def tokens(self) -> AsyncIterator[AnswerStep]:
        """Prefill, then yield the answer's tokens one by one."""
        await self._engine.prefill(len(self._sequence.token_ids) - self._sequence.cached_tokens)
        await self._engine.step()
        last: int | None = None
        for step in self._answer.steps:
            if last is not None:
                await self._engine.decode()
                self._cache.append(self._sequence, last)
                await self._engine.step()
            self._engine.counts.answer_tokens += 1
            last = step.token
            yield step
        self.done = True
