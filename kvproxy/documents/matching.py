"""`decide`: hit or miss with its reason, a pure function of the prompt's documents and the pages found.

`confirm` is the same once a fleet's replica has told what it really took from its cache.
"""

from __future__ import annotations

from dataclasses import replace

from kvproxy.core import (
    PAGE_TOKENS,
    Decision,
    Hit,
    Miss,
    MissCause,
    MissReason,
    NoPages,
    PageLookup,
    PagesFound,
    Prompt,
    Span,
)
from kvproxy.core.block_rounding import rounded_tokens, whole_blocks
from kvproxy.core.replica_choice import ReplicaChoice

_OF_ANY_TEXT = (MissCause.EVICTED, MissCause.SPILLED_FOR_LOAD)
"""Causes of a fleet that say something of a prompt without a known document too: its beginning was cached once. That a
replica never held it explains nothing there; the difference from the nearest text does."""


def decide(prompt: Prompt, lookup: PageLookup) -> Decision:
    """Decide from the documents in ``prompt`` and the pages in ``lookup``.

    A hit saves at least a page of a known document, or the whole of a shorter one; without a document, at least a
    page of an earlier prompt. Unrelated prompts have less in common: role markers, the template's own system prompt,
    the first words of another text. Readers pay for the document, so its miss keeps its reason and its way through
    the fallbacks; the plain prefill uses those pages anyway.

    A client that marks the end of a prefix names the part that it pays for: the whole of the first marked prefix is a
    hit, even a short one, whether or not a document follows it.

    A document in quarantine is always a miss.

    A fleet's replicas have whole blocks alone, so that the whole of a short document is that of its whole blocks. The
    lookup's cause goes on into the decision.
    """
    first, choice = prompt.documents[0] if prompt.documents else None, lookup.choice
    if first is not None and first.quarantined:
        return Miss(MissReason.QUARANTINED, first.document, choice=choice)
    tokens = lookup.tokens if isinstance(lookup, PagesFound) else 0
    marked = bool(prompt.marks) and tokens >= prompt.marks[0] > 0
    if first is None:
        cause = None if choice is None else choice.cause
        if marked or tokens >= PAGE_TOKENS:
            return Hit(tokens, None, cause, choice)
        return Miss(MissReason.NO_DOCUMENT, None, cause if cause in _OF_ANY_TEXT else None, choice)
    if tokens >= _least(first, choice):
        return Hit(tokens, first.document, _shortfall(first, tokens, choice), choice)
    if marked:
        return Hit(tokens, None, _shortfall(first, tokens, choice), choice)
    # A published framing was prefilled once, so missing pages were evicted; elsewhere the lookup remembers that.
    elsewhere = choice is not None and choice.cause in _OF_ANY_TEXT
    seen = elsewhere or (isinstance(lookup, NoPages) and lookup.evicted)
    if first.scope is not None or seen:
        return Miss(MissReason.NOT_RESIDENT, first.document, _shortfall(first, tokens, choice), choice)
    return Miss(MissReason.NEW_PREAMBLE, first.document, choice=choice)


def decide_cold(prompt: Prompt, lookup: PageLookup) -> Decision:
    """Return the miss of a request that asked for a prefill from scratch, whatever is kept.

    Example: ``decide_cold(prompt, NoPages()).reason is MissReason.ASKED_COLD``
    """
    document = prompt.documents[0].document if prompt.documents else None
    return Miss(MissReason.ASKED_COLD, document, choice=lookup.choice)


def confirm(
    prompt: Prompt, decided: Decision, choice: ReplicaChoice | None, cached_tokens: int | None
) -> Decision:
    """Return the decision by the number of cached tokens that a fleet's replica has reported with its usage.

    A miss that turns out to have been cached is a hit, and the other way round. None: it has not told the number, so
    that there is no hit, and nobody knows why. ``choice``: the replica that answered,
    which may be another one than the lookup chose: that one had failed.

    Example: ``confirm(prompt, Hit(896, ref), started.choice, usage.cached_tokens)``
    """
    found = decide(prompt, PagesFound(cached_tokens or 0, 0, choice))
    if isinstance(found, Hit) and cached_tokens is not None:
        if choice is not None and cached_tokens < choice.expected_tokens:
            return replace(found, cause=MissCause.EVICTED)
        return found
    if isinstance(decided, Miss):
        return decided
    reason = MissReason.NO_DOCUMENT if decided.document is None else MissReason.NOT_RESIDENT
    return Miss(reason, decided.document, _lost(prompt, choice, cached_tokens), choice)


def _lost(prompt: Prompt, choice: ReplicaChoice | None, cached_tokens: int | None) -> MissCause | None:
    """Return the cause of a hit that was none: nothing was evicted at a replica that was not believed to hold it."""
    if cached_tokens is None:
        return MissCause.UNKNOWN
    if choice is None or cached_tokens < choice.expected_tokens:
        return MissCause.EVICTED
    if prompt.documents:
        return _shortfall(prompt.documents[0], cached_tokens, choice)
    return choice.cause if choice.cause in _OF_ANY_TEXT else None


def _least(first: Span, choice: ReplicaChoice | None) -> int:
    """Return the positions that are at least a hit on a document; more than there are where it fills no block."""
    end = whole_blocks(first.end, 0 if choice is None else choice.block_tokens)
    return min(first.start + PAGE_TOKENS, end) if end > first.start else first.end


def _shortfall(first: Span, tokens: int, choice: ReplicaChoice | None) -> MissCause | None:
    """Return the reason that a replica has not all of a document; None where it has, or where no replica answers."""
    if choice is None or tokens >= first.end:
        return None
    if choice.cause is not None:
        return choice.cause
    rounded = rounded_tokens((first,), max(tokens, first.start), choice.block_tokens)
    return MissCause.ROUNDED_TO_BLOCK if rounded else MissCause.NOT_ON_REPLICA
