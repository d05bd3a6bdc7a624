from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.charging.meter_tokens import meter_prompt, meter_upstream, sum_metered, whole_reads
from kvproxy.core import DocumentRef, Span
from kvproxy.events import Usage

BOOK, NOTE = DocumentRef("book", 3), DocumentRef("note", 1)


def span(ref: DocumentRef, start: int, end: int, *, by_reference: bool = False) -> Span:
    return Span(ref, start, end, etag=f"etag of {ref}", publisher="acme", by_reference=by_reference)


def test_a_documents_cached_tokens_are_its_positions_below_the_cached_ones() -> None:
    spans = (span(BOOK, 4, 300), span(NOTE, 320, 400, by_reference=True))
    terms = {BOOK: "t1"}
    metered = meter_prompt("m", spans, Usage(450, 7, 350), terms)
    assert (metered.prompt_tokens, metered.cached_tokens, metered.completion_tokens) == (450, 350, 7)
    assert [(d.document, d.tokens, d.terms, d.by_reference) for d in metered.documents] == [
        ("book@3", 296, "t1", False),
        ("note@1", 30, "", True),
    ]
    assert metered.cached_tokens - metered.document_tokens == 24, "the caller's own"


def test_a_document_that_stands_twice_is_read_once_with_all_its_tokens() -> None:
    metered = meter_prompt("m", (span(BOOK, 0, 10), span(BOOK, 20, 30)), Usage(40, 1, 25), {})
    assert [d.tokens for d in metered.documents] == [15]


def test_a_miss_and_an_upstreams_answer_read_no_document() -> None:
    assert meter_prompt("m", (span(BOOK, 0, 10),), Usage(40, 1, 0), {}).documents == ()
    upstream = meter_upstream("m", Usage(40, 1, 30))
    assert (upstream.cached_tokens, upstream.documents) == (30, ())


@given(
    st.lists(st.tuples(st.sampled_from([BOOK, NOTE]), st.integers(0, 40), st.integers(1, 40)), max_size=5),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_sums_are_exact(pieces: list[tuple[DocumentRef, int, int]], cached: int, rest: int) -> None:
    spans: list[Span] = []
    at = 0
    for ref, gap, length in pieces:
        spans.append(span(ref, at + gap, at + gap + length))
        at += gap + length
    prompt = at + rest
    metered = meter_prompt("m", spans, Usage(prompt, 3, cached), {})
    held = min(cached, prompt)
    expected = sum(1 for s in spans for position in range(s.start, s.end) if position < held)
    assert metered.document_tokens == expected
    assert metered.document_tokens <= metered.cached_tokens <= metered.prompt_tokens
    twice = sum_metered("m", [metered, metered])
    assert twice.document_tokens == 2 * expected and twice.cached_tokens == 2 * held
    assert len(twice.documents) == len(metered.documents)
    assert sum(read.tokens for read in whole_reads(spans, {})) == sum(s.end - s.start for s in spans)
