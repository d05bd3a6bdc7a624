"""The measurements of one server. A slow one runs out of time in the last, whose parts count one by one."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.chat import Answer, Endpoint, Refused
from benchmarks.memory import peak
from benchmarks.prompts import TINY, Cold, Count, Visit, cut, question
from benchmarks.report import Crowd, Pair, Reads, Report, differs_at

FIRST_TOKENS = 4
"""Tokens of an answer of which only the first counts: a lone token may be half a character, and no text."""
MB = 2**20


@dataclass(frozen=True, slots=True)
class Plan:
    repeats: dict[int, int]
    """Prompt tokens -> repetitions; the largest after the readers."""
    tiny_repeats: int = 5
    tiny_tokens: int = 64
    crowd_prompt: int = 3774
    crowd_tokens: int = 64
    crowd_rounds: int = 3
    """The first may do work that the others find done: both are shown."""
    readers: int = 8
    pairs: int = 8
    pair_prompt: int = 1024
    pair_tokens: int = 200
    limit_s: float = 1800.0
    """Seconds; the measurements that are not done by then are left out."""


FULL = Plan(repeats={255: 7, 1024: 7, 3774: 5, 7500: 3})
QUICK = Plan(
    repeats={255: 5, 1024: 3, 3774: 2, 7500: 1},
    tiny_repeats=3,
    crowd_rounds=2,
    pairs=4,
    limit_s=240.0,
)


class OutOfTime(Exception):
    """Raised when the plan's limit is reached."""


@dataclass(slots=True)
class Measurement:
    """The measurement of one server.

    ``await Measurement(...).run()`` fills ``report``; a failed stage is in its ``faults``, and stops no other one.
    """

    endpoint: Endpoint
    plan: Plan
    cold: Cold
    text: str
    """The text that the documents are cut from."""
    count: Count
    report: Report
    pid: int | None = None
    """The server's process id, for its memory."""
    say: Callable[[str], None] = lambda _: None
    _overhead: int = 0
    _salt: int = field(default_factory=lambda: random.randrange(10**7, 9 * 10**7))
    _ends: float = 0.0

    async def run(self) -> None:
        self._ends = time.monotonic() + self.plan.limit_s
        sizes = sorted(self.plan.repeats)
        stages: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = [
            ("tiny", self._tiny),
            *((f"{size}", self._reading(size)) for size in sizes[:-1]),
            ("readers", self._crowds),
            (f"{sizes[-1]}", self._reading(sizes[-1])),
            ("equality", self._equality),
        ]
        for name, stage in stages:
            self.say(name)
            try:
                await stage()
            except OutOfTime:
                self.report.faults[name] = "out of time"
            except (Refused, ValueError) as e:
                self.report.faults[name] = f"{type(e).__name__}: {e}"[:300]

    async def _ask(self, text: str, max_tokens: int, fields: dict[str, Any]) -> Answer:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise OutOfTime
        try:
            # A server that goes on for ever must not: the time that is left bounds the whole answer.
            async with asyncio.timeout(left):
                return await self.endpoint.ask(text, max_tokens, fields, left)
        except TimeoutError as e:
            raise OutOfTime from e

    async def _visit(self, visit: Visit, document: str, number: int, max_tokens: int) -> Answer:
        text = visit.text(self.cold, document, question(number))
        return await self._ask(text, max_tokens, visit.fields(self.cold))

    def _first(self) -> Visit:
        self._salt += 1
        return Visit(self._salt, first=True)

    def _next(self) -> Visit:
        return Visit(self._salt, first=False)

    def _document(self, size: int, skip: int = 0) -> str:
        """Cut a part of the text, from its character ``skip`` on, that makes a prompt of ``size`` tokens."""
        visit = Visit(10**7, first=True)

        def tokens(document: str) -> int:
            return self.count(visit.text(self.cold, document, question(0))) + self._overhead

        return cut(self.text[skip:], size, tokens)

    async def _tiny(self) -> None:
        """Measure a tiny prompt: the first request of all, which also shows the tokens that the chat template adds."""
        plan = self.plan
        # Under a salt of its own: a prompt kept without one may be found by every later reader.
        fields = self._first().fields(self.cold)
        warm_up = await self._ask(TINY, plan.tiny_tokens, fields)
        if warm_up.prompt_tokens is not None:
            self._overhead = warm_up.prompt_tokens - self.count(TINY)
        for _ in range(plan.tiny_repeats):
            answer = await self._ask(TINY, plan.tiny_tokens, fields)
            self.report.tiny_ms.append(answer.first_s * 1000)
            if answer.gap_s is not None:
                self.report.gap_ms.append(answer.gap_s * 1000)

    def _reading(self, size: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def stage() -> None:
            reads = self.report.reads[str(size)] = Reads()
            document = self._document(size)
            if size == min(self.plan.repeats):  # the kernels' first long prompt does not count
                await self._visit(self._first(), document, 0, FIRST_TOKENS)
            for _ in range(self.plan.repeats[size]):
                cold = await self._visit(self._first(), document, 0, FIRST_TOKENS)
                warm = await self._visit(self._next(), document, 1, FIRST_TOKENS)
                reads.prompt_tokens = cold.prompt_tokens
                reads.cold_ms.append(cold.first_s * 1000)
                reads.warm_ms.append(warm.first_s * 1000)
                reads.cold_cached.append(cold.cached_tokens)
                reads.warm_cached.append(warm.cached_tokens)

        return stage

    async def _crowds(self) -> None:
        document = self._document(self.plan.crowd_prompt)
        hot = await self._visit(self._first(), document, 0, FIRST_TOKENS)
        self.report.crowd_tokens = hot.prompt_tokens or self.plan.crowd_prompt
        await self._visit(self._next(), document, 1, FIRST_TOKENS)
        for _ in range(self.plan.crowd_rounds):
            for readers in (1, self.plan.readers):
                self.report.crowds.append(await self._crowd(document, readers))

    async def _crowd(self, document: str, readers: int) -> Crowd:
        async with peak(self.pid) as memory, _unwrapped():
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._visit(self._next(), document, 2 + i, self.plan.crowd_tokens))
                    for i in range(readers)
                ]
            wall = time.perf_counter() - began
        # Where the server does not count, every answer is taken to be as long as it was allowed to be.
        tokens = sum(t.result().completion_tokens or self.plan.crowd_tokens for t in tasks)
        return Crowd(readers, wall, tokens, round(memory.rss / MB, 1) if self.pid is not None else None)

    async def _equality(self) -> None:
        """Compare warm and cold answers on several documents, so that one lucky answer is not counted many times."""
        document = self._document(self.plan.pair_prompt)
        step = max(1, (len(self.text) - 2 * len(document)) // self.plan.pairs)
        for i in range(self.plan.pairs):
            document = self._document(self.plan.pair_prompt, i * step)
            self.report.pairs.append(await self._pair(document, i))

    async def _pair(self, document: str, number: int) -> Pair:
        tokens = self.plan.pair_tokens
        cold = await self._visit(self._first(), document, number, tokens)
        salted = self.cold is Cold.SALT_LINE  # another salt would be another prompt: stay with this one
        await self._visit(self._next() if salted else self._first(), document, number + 1, FIRST_TOKENS)
        warm = await self._visit(self._next(), document, number, tokens)
        again = None if salted else await self._visit(self._first(), document, number, tokens)
        return Pair(
            tokens=cold.completion_tokens or 0,
            warm_differs_at=differs_at(cold.text, warm.text),
            cold_differs_at=None if again is None else differs_at(cold.text, again.text),
            cold_asked_twice=again is not None,
        )


@asynccontextmanager
async def _unwrapped() -> AsyncIterator[None]:
    """Raise a task group's first failure: requests that fail together fail for one reason."""
    try:
        yield
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
