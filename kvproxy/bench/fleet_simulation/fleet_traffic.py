"""Made-up traffic of a fleet: sessions of several turns, each about a document of a Zipf library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvproxy.routing.best_possible import PartRead


@dataclass(frozen=True, slots=True)
class TrafficPlan:
    """Assumptions about readers. Lengths are in tokens, times in seconds."""

    requests: int = 20_000
    per_second: float = 1.0
    """Requests a second, of the whole fleet; sessions come by a Poisson process."""
    documents: int = 1_000_000
    zipf: float = 0.9
    median_tokens: int = 4000
    """Documents' lengths are log-normal: median, the logarithm's deviation, and the two ends."""
    sigma: float = 1.0
    shortest: int = 256
    longest: int = 128_000
    without_document: float = 0.1
    """The share of sessions that have no document."""
    turns: float = 3.0
    """Turns of a session, geometric: the mean."""
    think_s: float = 20.0
    """Seconds between an answer's end and the next turn, exponential: the mean."""
    question_tokens: int = 60
    """Exponential, at least 8: the mean. Answers alike."""
    answer_tokens: int = 200
    token_s: float = 0.02
    """Seconds of one token of an answer."""
    block_tokens: int = 128
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TurnArrival:
    """One request: the turn of a session."""

    at: float
    session: int
    document: int
    """-1 where the session has none."""
    prompt_tokens: int
    answer_tokens: int
    document_blocks: int
    read_blocks: int
    """Whole blocks of the prompt behind the document's."""
    stored_blocks: int
    """Whole blocks behind the document's once the answer is there."""

    def parts(self) -> tuple[PartRead, ...]:
        """Return what later prompts may share: the document, then the session's own messages."""
        mine = PartRead(-1 - self.session, self.read_blocks, self.stored_blocks)
        if not self.document_blocks:
            return (mine,)
        return (PartRead(self.document, self.document_blocks, self.document_blocks), mine)


def make_traffic(plan: TrafficPlan) -> list[TurnArrival]:
    """Return ``plan.requests`` turns in the order of their arrival, from time 0; the same for the same plan.

    Sessions begin some of their lengths before, so that the first turns are as old as later ones.
    """
    source = np.random.default_rng(plan.seed)
    lengths = _lengths(plan, source)
    before = 3 * plan.turns * (plan.think_s + plan.answer_tokens * plan.token_s)
    # A tenth more than are needed on average, cut off below.
    sessions = int((plan.requests * 1.1 + before * plan.per_second) / plan.turns) + 20
    begins = np.cumsum(source.exponential(plan.turns / plan.per_second, sessions)) - before
    documents = _documents(plan, source, sessions)
    turns = source.geometric(1 / plan.turns, sessions)
    found: list[TurnArrival] = []
    for session in range(sessions):
        document = int(documents[session])
        tokens = int(lengths[document]) if document >= 0 else 0
        about = _Session(session, document, tokens, float(begins[session]), int(turns[session]))
        found += (turn for turn in _turns(plan, source, about) if turn.at >= 0)
    found.sort(key=lambda turn: turn.at)
    return found[: plan.requests]


@dataclass(frozen=True, slots=True)
class _Session:
    number: int
    document: int
    document_tokens: int
    begins: float
    turns: int


def _lengths(plan: TrafficPlan, source: np.random.Generator) -> npt.NDArray[np.int64]:
    drawn = source.lognormal(np.log(plan.median_tokens), plan.sigma, plan.documents)
    return np.clip(drawn, plan.shortest, plan.longest).astype(np.int64)


def _documents(plan: TrafficPlan, source: np.random.Generator, sessions: int) -> npt.NDArray[np.int64]:
    """Return a document for each session, by rank in Zipf's law; -1 for none."""
    summed = np.cumsum(1 / np.arange(1, plan.documents + 1) ** plan.zipf)
    ranks = np.searchsorted(summed, source.random(sessions) * summed[-1])
    return np.where(source.random(sessions) < plan.without_document, -1, ranks)


def _turns(plan: TrafficPlan, source: np.random.Generator, about: _Session) -> Iterator[TurnArrival]:
    size = plan.block_tokens
    document_blocks = about.document_tokens // size
    at, tokens = about.begins, about.document_tokens
    for _ in range(about.turns):
        prompt = tokens + max(8, int(source.exponential(plan.question_tokens)))
        answer = max(8, int(source.exponential(plan.answer_tokens)))
        tokens = prompt + answer
        yield TurnArrival(
            at=at,
            session=about.number,
            document=about.document if document_blocks else -1,
            prompt_tokens=prompt,
            answer_tokens=answer,
            document_blocks=document_blocks,
            read_blocks=prompt // size - document_blocks,
            stored_blocks=tokens // size - document_blocks,
        )
        at += answer * plan.token_s + float(source.exponential(plan.think_s))
