"""Speculation: drafts the next tokens of an answer, and decides the number of rows that a draft is worth.

A draft is verified by the tile that would have been run anyway, and its tokens are chosen as if there had been none,
so that a draft cannot change an answer: only the number of tokens that a tile yields. Pure: the same tokens and the
same acceptance give the same drafts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvproxy.engine.decode.prompt_lookup import LONGEST, PromptLookup, RepeatMatch

LEAST_NEW = 8
"""Shortest answer, in tokens, that is drafted for."""
OVERHEAD = 0.02
"""Cost of any draft at all, in logits and in Python, as a share of a step's time."""
RETRY = 48
"""Tokens after which drafts that did not pay are tried again."""
TRIAL = 2
"""Rows of such a try."""
MEMORY = 0.9
"""Weight of the acceptance so far after one more draft: about ten drafts count."""

_PRIORS = ((2, 0.3), (4, 0.55), (LONGEST, 0.85))
"""(shortest match, share of drafted tokens that are right), as assumed before the first draft: longer matches are
better."""
_PRIOR_WEIGHT = 2.0


@dataclass(slots=True)
class DraftCounts:
    """Counts of drafted tokens since the engine started. Written by its thread; single figures may be read by any."""

    steps: int = 0
    """Tiles that chose tokens of an answer, counted once for each answer."""
    tokens: int = 0
    """Tokens that those tiles chose."""
    drafted: int = 0
    accepted: int = 0
    """Drafted tokens that were chosen. Each saved a step, except for those with which an answer ended."""

    def add(self, tokens: int, drafted: int, accepted: int) -> None:
        """Count one tile that chose ``tokens`` of one answer.

        Example: ``counts.add(tokens=3, drafted=4, accepted=2)``
        """
        self.steps += 1
        self.tokens += tokens
        self.drafted += drafted
        self.accepted += accepted


class Acceptance:
    """Acceptance rate of drafts behind matches of about one length: the probability that a drafted token is right when
    those before it are."""

    def __init__(self, prior: float) -> None:
        self._right, self._wrong = prior * _PRIOR_WEIGHT, (1 - prior) * _PRIOR_WEIGHT
        self.tried = 0
        """Length of the sequence at the latest draft."""

    @property
    def rate(self) -> float:
        """Probability from 0 to 1."""
        return self._right / (self._right + self._wrong)

    def learn(self, accepted: int, *, missed: bool) -> None:
        """Add a draft of which ``accepted`` tokens were right. ``missed``: the next one was wrong."""
        self._right = self._right * MEMORY + accepted
        self._wrong = self._wrong * MEMORY + missed


def worth(rate: float, most: int, row_cost: float, streams: int) -> int:
    """Return the number of rows to draft, 0 to ``most``, that yields the most tokens for the time.

    ``k`` rows yield ``rate + rate**2 + .. + rate**k`` tokens more than the ``streams`` of a step without them, in
    ``1 + OVERHEAD + k * row_cost`` times its time: the expected improvement of Leviathan et al. 2023, theorem 3.8
    (arXiv 2211.17192), for a draft that costs nothing and rows that cost something.
    Example: ``worth(rate=0.8, most=3, row_cost=0.05, streams=4)``
    """
    best, pays, gain = 0, float(streams), 0.0
    for k in range(1, most + 1):
        gain += rate**k
        tokens = (streams + gain) / (1 + OVERHEAD + k * row_cost)
        if tokens > pays:
            best, pays = k, tokens
    return best


def share(wanted: Sequence[int], rows: int) -> list[int]:
    """Divide ``rows`` evenly between sequences that want so many each; earlier ones get the odd row.

    Example: ``share([3, 1, 3], 5)`` is ``[2, 1, 2]``.
    """
    given = [0] * len(wanted)
    while rows > 0:
        wanting = [i for i, want in enumerate(wanted) if given[i] < want]
        if not wanting:
            break
        for i in wanting[:rows]:
            given[i] += 1
        rows -= len(wanting)
    return given


class Drafter:
    """Drafts tokens of one answer, and learns whether its drafts pay."""

    def __init__(self, prompt: Sequence[int], predicted: Sequence[int] = ()) -> None:
        """``predicted``: the answer, or one similar to it, as the client expects it."""
        self._prompt, self._predicted = prompt, predicted
        self._lookup: PromptLookup | None = None
        self._classes = [(least, Acceptance(prior)) for least, prior in _PRIORS]
        self._last = self._classes[0][1]
        self._from_prediction = False
        self.prediction = (0, 0)
        """Tokens drafted out of ``predicted``: the number of accepted ones, and of rejected ones."""

    def propose(self, tokens: Sequence[int], most: int, *, row_cost: float, streams: int) -> tuple[int, ...]:
        """Return at most ``most`` tokens that may follow ``tokens``, the whole sequence so far; () if none pay.

        ``row_cost``: cost of one more row, as a share of the step; ``streams``: tokens that the step yields anyway.
        Example: ``drafter.propose(tokens, 3, row_cost=0.05, streams=4)``
        """
        if self._lookup is None:
            self._lookup = PromptLookup(self._prompt, self._predicted)
        allowed = [
            worth(a.rate, most, row_cost, streams)
            or (min(TRIAL, most) if len(tokens) - a.tried >= RETRY else 0)
            for _, a in self._classes
        ]
        if not any(allowed):
            return ()
        self._lookup.follow(tokens)
        match = self._lookup.find(max(allowed))
        if match is None:
            return ()
        at = self._class_of(match)
        self._last, self._from_prediction = self._classes[at][1], match.predicted
        if allowed[at]:
            self._last.tried = len(tokens)
        return match.then[: allowed[at]]

    def learn(self, accepted: int, *, missed: bool, rejected: int = 0) -> None:
        """Record the result of the latest draft: ``accepted`` tokens were right, and ``missed``: the next was wrong.

        ``rejected``: drafted tokens that are no part of the answer, also those behind a wrong one or behind its end.
        Example: ``drafter.learn(2, missed=True, rejected=1)``
        """
        self._last.learn(accepted, missed=missed)
        if self._from_prediction:
            self.prediction = (self.prediction[0] + accepted, self.prediction[1] + rejected)

    def _class_of(self, match: RepeatMatch) -> int:
        return max(i for i, (least, _) in enumerate(self._classes) if match.length >= least)
