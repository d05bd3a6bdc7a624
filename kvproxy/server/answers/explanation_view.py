"""`explanation_view`: a report on a prompt as its API returns it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvproxy.core import Hit, Miss
from kvproxy.core.block_rounding import rounded_tokens
from kvproxy.core.miss_remedies import REMEDIES
from kvproxy.explain.miss_report import DifferingToken, MissReport
from kvproxy.wire.explanations.explanation_answer import (
    ComparedWith,
    ExplainedReplica,
    KvExplanation,
    ShownDifference,
    ShownToken,
)

SHOWN = 120
"""Characters of each text that are shown on either side of a difference."""

TokenTexts = Callable[[Sequence[int]], list[str]]


def explanation_view(report: MissReport, token_texts: TokenTexts, *, names: bool = False) -> KvExplanation:
    """Return the report; ``token_texts`` turns token ids into their texts. ``names``: with that of a fleet's replica.

    Example: ``json_response(explanation_view(report, pipeline.token_texts))``
    """
    decision, found = report.asked.decision, report.found
    # Of a hit, a fleet's reason for no more of it says more than where another request parts from this one.
    cause = decision.cause or found.cause
    remedy = None if cause is None else REMEDIES[cause]
    return KvExplanation(
        object="kv_explanation",
        outcome="hit" if isinstance(decision, Hit) else "miss",
        reason=decision.reason.value if isinstance(decision, Miss) else None,
        cause=None if cause is None else cause.value,
        meaning=None if remedy is None else remedy.meaning,
        do=None if remedy is None else remedy.do,
        document=None if decision.document is None else str(decision.document),
        prompt_tokens=len(report.asked.prompt.token_ids),
        cached_tokens=decision.cached_tokens if isinstance(decision, Hit) else 0,
        replica=_replica(report, names=names),
        compared=_compared(report),
        difference=_difference(report, token_texts),
    )


def _replica(report: MissReport, *, names: bool) -> ExplainedReplica | None:
    asked = report.asked
    choice = asked.decision.choice
    if choice is None:
        return None
    return ExplainedReplica(
        name=choice.replica if names else None,
        expected_tokens=choice.expected_tokens,
        block_tokens=choice.block_tokens,
        rounded_tokens=rounded_tokens(asked.prompt.documents, choice.expected_tokens, choice.block_tokens),
        detail=choice.detail,
    )


def _compared(report: MissReport) -> ComparedWith | None:
    found = report.found
    if found.request is not None:
        request = found.request
        return ComparedWith(kind="request", id=request.id, at=request.at, common_tokens=found.common)
    if found.document is not None:
        return ComparedWith(kind="document", id=str(found.document), at=None, common_tokens=found.common)
    return None


def _difference(report: MissReport, token_texts: TokenTexts) -> ShownDifference | None:
    difference, place = report.found.difference, report.found.place
    if difference is None or not (difference.sent or difference.other):
        return None
    return ShownDifference(
        where="prompt" if place is None else f"messages[{place}]" if isinstance(place, int) else place,
        character=difference.position,
        counted_from=report.counted,
        before=difference.before[-SHOWN:],
        sent=difference.sent[:SHOWN],
        other=difference.other[:SHOWN],
        token=None if report.token is None else _token(report.token, token_texts),
    )


def _token(token: DifferingToken, token_texts: TokenTexts) -> ShownToken:
    sent, other = ((None if id is None else token_texts([id])[0]) for id in (token.sent, token.other))
    return ShownToken(index=token.index, sent=token.sent, sent_text=sent, other=token.other, other_text=other)
