"""Hit or miss, and why: a pure function of what was found in the prompt and in the pages."""

from __future__ import annotations

from kvproxy.core import Decision, Found, Hit, Lookup, Miss, MissReason, Prompt


def decide(prompt: Prompt, lookup: Lookup) -> Decision:
    """Decide from the documents in ``prompt`` and the pages in ``lookup``.

    A hit reaches into a known document, or the prompt has none and continues an earlier one. Pages that cover
    only what stands before the first known document (role markers, a shared system prompt) are no hit: the
    document is what readers pay for, so its miss keeps its reason; the plain prefill uses those pages anyway.
    """
    first = prompt.documents[0] if prompt.documents else None
    if isinstance(lookup, Found) and lookup.tokens > 0:
        if first is None:
            return Hit(cached_tokens=lookup.tokens, document=None)
        if lookup.tokens > first.start:
            return Hit(cached_tokens=lookup.tokens, document=first.document)
    if first is None:
        return Miss(MissReason.NO_DOCUMENT)
    # A published framing was prefilled once, so its pages can only have gone; elsewhere the lookup remembers.
    seen = not isinstance(lookup, Found) and lookup.seen
    if first.scope is not None or seen:
        return Miss(MissReason.NOT_RESIDENT, first.document)
    return Miss(MissReason.NEW_PREAMBLE, first.document)
