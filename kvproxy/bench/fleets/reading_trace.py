"""`ReadingTrace`: sessions that ask questions behind documents, documents by Zipf's law; the same for the same plan."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

TOKENS_A_WORD = 1.2
"""Of the made-up documents, about: their real sizes are what the proxy counts."""


@dataclass(frozen=True, slots=True)
class ReadingPlan:
    """The numbers of a trace. Sizes of documents are log-normal; a session asks a geometric number of questions."""

    requests: int = 240
    documents: int = 24
    median_tokens: int = 550
    sigma: float = 0.4
    least_tokens: int = 250
    most_tokens: int = 1200
    zipf: float = 0.8
    open_sessions: int = 16
    """Sessions that take turns, in random order."""
    session_requests: float = 5.0
    """Questions of one session, on average."""
    stay: float = 0.6
    """Probability that a session's next question is about the same document."""
    question_words: tuple[int, int] = (8, 24)
    answer_tokens: int = 4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ReadingStep:
    """One request: a session's question behind a document."""

    session: str
    document: int
    question: str


@dataclass(frozen=True, slots=True)
class ReadingTrace:
    """The texts of the documents, and the requests in their order."""

    documents: tuple[str, ...]
    steps: tuple[ReadingStep, ...]

    def messages(self, step: ReadingStep) -> list[dict[str, str]]:
        """Return the chat of a request: the document is the system message, the question the user's."""
        return [
            {"role": "system", "content": self.documents[step.document]},
            {"role": "user", "content": step.question},
        ]


def make_reading_trace(plan: ReadingPlan, words: Sequence[str]) -> ReadingTrace:
    """Make the trace of ``plan``; texts are drawn from ``words``, and no two begin alike.

    Example: ``make_reading_trace(ReadingPlan(), example_text("gpl-3.txt").split())``
    """
    source = random.Random(plan.seed)
    documents = tuple(_document(source, plan, words, number) for number in range(plan.documents))
    return ReadingTrace(documents, tuple(_steps(source, plan, words)))


def warming_steps(trace: ReadingTrace) -> list[ReadingStep]:
    """Return one request for each document, the most read one last: the order in which a cache would rather lose
    them."""
    reads = [0] * len(trace.documents)
    for step in trace.steps:
        reads[step.document] += 1
    order = sorted(range(len(reads)), key=lambda number: (reads[number], number))
    return [ReadingStep(f"warming-{number}", number, "Who wrote this?") for number in order]


def reading_summary(plan: ReadingPlan, document_tokens: Sequence[int]) -> dict[str, Any]:
    """Return what is said about a trace beside its figures; ``document_tokens`` as the proxy counted them.

    Example: ``reading_summary(plan, [512, 730])["document_tokens"]["all"]``
    """
    ordered = sorted(document_tokens)
    return {
        "requests": plan.requests,
        "documents": len(ordered),
        "document_tokens": {
            "least": ordered[0],
            "median": ordered[len(ordered) // 2],
            "most": ordered[-1],
            "all": sum(ordered),
        },
        "zipf": plan.zipf,
        "open_sessions": plan.open_sessions,
        "session_requests": plan.session_requests,
        "stay": plan.stay,
        "question_words": list(plan.question_words),
        "answer_tokens": plan.answer_tokens,
        "seed": plan.seed,
    }


def _document(source: random.Random, plan: ReadingPlan, words: Sequence[str], number: int) -> str:
    drawn = source.lognormvariate(math.log(plan.median_tokens), plan.sigma)
    tokens = max(plan.least_tokens, min(plan.most_tokens, int(drawn)))
    body = source.choices(words, k=max(1, int(tokens / TOKENS_A_WORD)))
    return f"{number}. {' '.join(body)}."


def _steps(source: random.Random, plan: ReadingPlan, words: Sequence[str]) -> Iterator[ReadingStep]:
    weights = [1 / (rank + 1) ** plan.zipf for rank in range(plan.documents)]
    ranks = source.sample(range(plan.documents), plan.documents)
    """Popularity is independent of size."""
    reading: list[tuple[str, int] | None] = [None] * plan.open_sessions
    for number in range(plan.requests):
        at = source.randrange(plan.open_sessions)
        now = reading[at]
        if now is None:
            now = (f"session-{number}", ranks[source.choices(range(plan.documents), weights)[0]])
        elif source.random() >= plan.stay:
            now = (now[0], ranks[source.choices(range(plan.documents), weights)[0]])
        asked = source.choices(words, k=source.randint(*plan.question_words))
        yield ReadingStep(now[0], now[1], f"{number}: {' '.join(asked)}?")
        reading[at] = None if source.random() < 1 / plan.session_requests else now
