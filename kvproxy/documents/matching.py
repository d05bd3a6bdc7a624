"""`decide`: hit or miss with its reason, a pure function of the prompt's documents and the pages found."""

from __future__ import annotations

from kvproxy.core import PAGE_TOKENS, Decision, Hit, Miss, MissReason, NoPages, PageLookup, PagesFound, Prompt


def decide(prompt: Prompt, lookup: PageLookup) -> Decision:
    """Decide from the documents in ``prompt`` and the pages in ``lookup``.

    A hit saves at least a page of a known document, or the whole of a shorter one; without a document, at least a
    page of an earlier prompt. Unrelated prompts have less in common: role markers, the template's own system prompt,
    the first words of another text. Readers pay for the document, so its miss keeps its reason and its way through
    the fallbacks; the plain prefill uses those pages anyway.

    A client that marks the end of a prefix names the part that it pays for: the whole of the first marked prefix is a
    hit, even a short one, whether or not a document follows it.

    A document in quarantine is always a miss.
    """
    first = prompt.documents[0] if prompt.documents else None
    if first is not None and first.quarantined:
        return Miss(MissReason.QUARANTINED, first.document)
    tokens = lookup.tokens if isinstance(lookup, PagesFound) else 0
    marked = bool(prompt.marks) and tokens >= prompt.marks[0] > 0
    if first is None:
        return Hit(tokens, None) if marked or tokens >= PAGE_TOKENS else Miss(MissReason.NO_DOCUMENT)
    if tokens >= min(first.start + PAGE_TOKENS, first.end):
        return Hit(tokens, first.document)
    if marked:
        return Hit(tokens, None)
    # A published framing was prefilled once, so missing pages were evicted; elsewhere the lookup remembers that.
    seen = isinstance(lookup, NoPages) and lookup.evicted
    if first.scope is not None or seen:
        return Miss(MissReason.NOT_RESIDENT, first.document)
    return Miss(MissReason.NEW_PREAMBLE, first.document)
