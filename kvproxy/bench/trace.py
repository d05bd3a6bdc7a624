"""Made-up traffic: documents that many read, and conversations that one tenant has."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kvproxy.bench.engine.cache_replay import Visit
from kvproxy.core import PAGE_TOKENS


@dataclass(frozen=True, slots=True)
class TracePlan:
    """``requests`` in all. Documents have log-normal sizes (tokens) and are asked for by Zipf's law, with an order
    that changes: at every request, with probability ``drift``, some document takes another's place. A share of the
    requests are turns of conversations, which grow by a log-normal number of tokens and end."""

    requests: int = 2000
    documents: int = 200
    median_tokens: int = 3000
    sigma: float = 0.9
    longest: int = 32_000
    zipf: float = 0.9
    drift: float = 0.02
    conversations: float = 0.4
    turn_tokens: int = 350
    turns: int = 6
    open_conversations: int = 40
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TraceStep:
    """A request, and the part of it that could have been kept: ``reuse`` leading tokens of request ``before``, which
    is the last one of the same document or conversation (0 and -1: its first)."""

    visit: Visit
    reuse: int
    before: int


def make_trace(plan: TracePlan) -> list[TraceStep]:
    """Return the trace of a plan, the same for the same plan. Token ids are unique to their subject, so nothing else
    can be shared."""
    steps: list[TraceStep] = []
    last: dict[str, int] = {}
    for number, (subject, visit, reuse) in enumerate(_requests(plan)):
        before = last.get(subject, -1)
        if before >= 0:
            earlier = steps[before]
            steps[before] = replace(earlier, visit=replace(earlier.visit, next_use=float(number)))
        steps.append(TraceStep(visit, reuse if before >= 0 else 0, before))
        last[subject] = number
    return steps


def _requests(plan: TracePlan) -> Iterator[tuple[str, Visit, int]]:
    """Yield (subject, request, leading tokens that the subject's last request had too)."""
    source = random.Random(plan.seed)
    sizes = [_size(source, plan.median_tokens, plan.sigma, plan.longest) for _ in range(plan.documents)]
    order = list(range(plan.documents))
    weights = [1 / (rank + 1) ** plan.zipf for rank in range(plan.documents)]
    documents = [_ids(i + 1, n) for i, n in enumerate(sizes)]
    talks = [_Talk(source, plan, plan.documents + 1 + i) for i in range(plan.open_conversations)]
    next_talk = plan.documents + 1 + plan.open_conversations
    for number in range(plan.requests):
        if source.random() < plan.drift:
            a, b = source.randrange(plan.documents), source.randrange(plan.documents)
            order[a], order[b] = order[b], order[a]
        if source.random() < plan.conversations:
            at = source.randrange(len(talks))
            yield talks[at].turn()
            if talks[at].over:
                talks[at] = _Talk(source, plan, next_talk)
                next_talk += 1
            continue
        chosen = order[source.choices(range(plan.documents), weights)[0]]
        document = documents[chosen]
        question = _ids(10**6 + number, source.randrange(15, 120))
        visit = Visit(f"question-{number}", (*document, *question), len(document))
        whole = len(document) // PAGE_TOKENS * PAGE_TOKENS
        yield f"document-{chosen}", visit, whole


class _Talk:
    def __init__(self, source: random.Random, plan: TracePlan, number: int) -> None:
        self._source, self._plan, self._number = source, plan, number
        self._tokens: tuple[int, ...] = ()
        self._left = 1 + min(int(source.expovariate(1 / plan.turns)), 40)

    @property
    def over(self) -> bool:
        return self._left == 0 or len(self._tokens) > self._plan.longest

    def turn(self) -> tuple[str, Visit, int]:
        before = len(self._tokens)
        more = _size(self._source, self._plan.turn_tokens, 0.8, 4000)
        self._tokens += _ids(self._number, more, start=before)
        self._left -= 1
        name = f"talk-{self._number}"
        return name, Visit(name, self._tokens), before


def _size(source: random.Random, median: int, sigma: float, most: int) -> int:
    return max(20, min(most, int(source.lognormvariate(math.log(median), sigma))))


def _ids(subject: int, count: int, start: int = 0) -> tuple[int, ...]:
    """Make ids: the subject stands in every page's first ones; the others differ by position."""
    base = (subject * 40_503) % 2**31
    return tuple((base + 7 * i) % 2**31 for i in range(start, start + count))
