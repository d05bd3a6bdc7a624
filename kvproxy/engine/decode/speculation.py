"""Speculation: what may follow in an answer, and how many rows of a tile that guess is worth.

A draft is verified by the tile that would have been run anyway, and its tokens are chosen as if there had been none,
so nothing here can change an answer: only how many tokens a tile yields. Pure: the same tokens and the same
acceptance give the same drafts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvproxy.engine.decode.prompt_lookup import LONGEST, Lookup, RepeatMatch

LEAST_NEW = 8
"""Answers shorter than this are not drafted for."""
OVERHEAD = 0.02
"""Of a step's time: what any draft at all costs, in logits and in Python."""
RETRY = 48
"""Tokens after which drafts are tried again that did not pay."""
TRIAL = 2
"""Rows of such a try."""
MEMORY = 0.9
"""What the acceptance so far counts for after one more draft: about ten drafts."""

_PRIORS = ((2, 0.3), (4, 0.55), (LONGEST, 0.85))
"""(shortest match, share of drafted tokens that are right) before there is any experience: longer matches are
better."""
_PRIOR_WEIGHT = 2.0


@dataclass(slots=True)
class DraftCounts:
    """Since the engine started. Written by its thread; single figures may be read by any."""

    steps: int = 0
    """Tiles that chose tokens of an answer, counted once for each answer."""
    tokens: int = 0
    """What they chose."""
    drafted: int = 0
    accepted: int = 0
    """Drafted tokens that were the answer's. Each saved a step, but those with which an answer ended."""

    def add(self, tokens: int, drafted: int, accepted: int) -> None:
        """Count one tile that chose ``tokens`` of one answer."""
        self.steps += 1
        self.tokens += tokens
        self.drafted += drafted
        self.accepted += accepted


class Acceptance:
    """Of drafts behind matches of about one length: how likely a drafted token is right when those before it are."""

    def __init__(self, prior: float) -> None:
        self._right, self._wrong = prior * _PRIOR_WEIGHT, (1 - prior) * _PRIOR_WEIGHT
        self.tried = 0
        """The length of the sequence at the latest draft."""

    @property
    def rate(self) -> float:
        return self._right / (self._right + self._wrong)

    def learn(self, accepted: int, *, missed: bool) -> None:
        self._right = self._right * MEMORY + accepted
        self._wrong = self._wrong * MEMORY + missed


def worth(rate: float, most: int, row_cost: float, streams: int) -> int:
    """How many rows to draft, 0 to ``most``: those that give the most tokens for the time.

    ``k`` rows yield ``rate + rate**2 + .. + rate**k`` tokens more than the ``streams`` of a step without them, in
    ``1 + OVERHEAD + k * row_cost`` times its time: the expected improvement of Leviathan et al. 2023, theorem 3.8
    (arXiv 2211.17192), for a draft that costs nothing and rows that cost something.
    """
    best, pays, gain = 0, float(streams), 0.0
    for k in range(1, most + 1):
        gain += rate**k
        tokens = (streams + gain) / (1 + OVERHEAD + k * row_cost)
        if tokens > pays:
            best, pays = k, tokens
    return best


def share(wanted: Sequence[int], rows: int) -> list[int]:
    """Divide ``rows`` so that nobody gets more than somebody else who wanted as many, earlier ones the odd row."""
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
    """Of one answer: where its drafts come from, and whether they pay."""

    def __init__(self, prompt: Sequence[int], predicted: Sequence[int] = ()) -> None:
        """``predicted``: the answer as the client expects it, or what it will be like."""
        self._prompt, self._predicted = prompt, predicted
        self._lookup: Lookup | None = None
        self._classes = [(least, Acceptance(prior)) for least, prior in _PRIORS]
        self._last = self._classes[0][1]
        self._from_prediction = False
        self.prediction = (0, 0)
        """Of the tokens drafted out of ``predicted``: how many were the answer's, and how many not."""

    def propose(self, tokens: Sequence[int], most: int, *, row_cost: float, streams: int) -> tuple[int, ...]:
        """At most ``most`` tokens that may follow ``tokens``, the whole sequence so far; () where none are worth their
        rows.

        ``row_cost``: what one more row costs, as a share of the step; ``streams``: tokens that the step yields anyway.
        """
        if self._lookup is None:
            self._lookup = Lookup(self._prompt, self._predicted)
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
        """How the latest draft fared: so many of its tokens were right, whether the next one was wrong, and how many
        were not the answer's, those behind a wrong one and behind the answer's end included."""
        self._last.learn(accepted, missed=missed)
        if self._from_prediction:
            self.prediction = (self.prediction[0] + accepted, self.prediction[1] + rejected)

    def _class_of(self, match: RepeatMatch) -> int:
        return max(i for i, (least, _) in enumerate(self._classes) if match.length >= least)
