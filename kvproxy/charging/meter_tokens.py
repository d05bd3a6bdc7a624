"""`meter_prompt`: from the spans of a prompt and its cached tokens to metered tokens. Pure; the sums are exact.

Pages are taken from position 0 on without a gap, so that a document's cached tokens are those of its positions below
the number of cached ones. All other cached positions are the caller's own: its conversation, the template's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kvproxy.core import DocumentRef, DocumentTokens, MeteredTokens, Span
from kvproxy.events import Usage

_Key = tuple[str, str, str, str, bool, str | None]


def meter_prompt(
    model: str, spans: Sequence[Span], usage: Usage, terms: Mapping[DocumentRef, str]
) -> MeteredTokens:
    """Return the tokens of one prompt and its answers. ``usage`` is that of all choices: the prompt counts once.

    ``terms``: the id of each document's terms; a document without an entry has the id "".

    Example:
        ``meter_prompt("qwen3-4b", prompt.documents, Usage(3800, 20, 3774), {})``
    """
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    reads = tuple(read for span in spans if (read := _read(span, cached, terms)) is not None)
    return MeteredTokens(
        model=model,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=cached,
        completion_tokens=usage.completion_tokens,
        documents=_joined(reads),
    )


def meter_upstream(model: str, usage: Usage) -> MeteredTokens:
    """Return the tokens of an upstream's answer, by its own report: no kept page of a document was used.

    Example: ``meter_upstream("gpt-5", Usage(900, 20, 512))``
    """
    return meter_prompt(model, (), usage, {})


def possible_usage(usage: Usage, prompt_tokens: int, most_new: int | None = None) -> Usage:
    """Return the usage of an answer within what was sent: a fleet's replica counts on another machine.

    ``most_new``: tokens that all answers may have; None: any number.

    Example: ``possible_usage(Usage(1003, 20, 10**6), 1003).cached_tokens == 1003``
    """
    prompt = min(max(usage.prompt_tokens, 0), prompt_tokens)
    cached, generated = min(max(usage.cached_tokens, 0), prompt), max(usage.completion_tokens, 0)
    return replace(
        usage,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=generated if most_new is None else min(generated, most_new),
        cache_write_tokens=min(max(usage.cache_write_tokens, 0), prompt - cached),
    )


def sum_metered(model: str, metered: Iterable[MeteredTokens]) -> MeteredTokens:
    """Return the tokens of several prompts of one request together.

    Example: ``sum_metered("qwen3-4b", [first, second])``
    """
    each = list(metered)
    return MeteredTokens(
        model=model,
        prompt_tokens=sum(m.prompt_tokens for m in each),
        cached_tokens=sum(m.cached_tokens for m in each),
        completion_tokens=sum(m.completion_tokens for m in each),
        documents=_joined(tuple(read for m in each for read in m.documents)),
    )


def whole_reads(spans: Iterable[Span], terms: Mapping[DocumentRef, str]) -> tuple[DocumentTokens, ...]:
    """Return the most that a prompt may read of its documents: all of their tokens."""
    return _joined(tuple(read for span in spans if (read := _read(span, span.end, terms)) is not None))


def _read(span: Span, cached: int, terms: Mapping[DocumentRef, str]) -> DocumentTokens | None:
    tokens = min(cached, span.end) - span.start
    if tokens <= 0:
        return None
    return DocumentTokens(
        document=str(span.document),
        etag=span.etag,
        publisher=span.publisher,
        tokens=tokens,
        terms=terms.get(span.document, ""),
        by_reference=span.by_reference,
        grant=span.grant,
    )


def _joined(reads: tuple[DocumentTokens, ...]) -> tuple[DocumentTokens, ...]:
    """Add up reads that differ in their tokens alone, in the order in which they come."""
    joined: dict[_Key, DocumentTokens] = {}
    for read in reads:
        key = (read.document, read.etag, read.publisher, read.terms, read.by_reference, read.grant)
        before = joined.get(key)
        joined[key] = read if before is None else replace(read, tokens=before.tokens + read.tokens)
    return tuple(joined.values())
