from __future__ import annotations

from kvproxy.documents.library.document import Document, FramedPrefix, TokenizedDocument
from kvproxy.documents.library.known_document import DocumentMatch, KnownDocument
from kvproxy.documents.prompts.placed_prompt import PlacedPrompt, document_spans, published_tokens
from kvproxy.documents.tokens.token_join import DocumentPlace

CORE = TokenizedDocument("core", "0" * 64, (5, 6, 7), (), 0, 0, 0)
DOCUMENT = Document("doc", 2, "core", "e" * 64, "public", "tenant:a", 0)
KNOWN = KnownDocument(DOCUMENT, CORE, (FramedPrefix("system", (1, 5, 6)), FramedPrefix("user", (1, 2, 5))))


def spans(token_ids: list[int], places: list[tuple[int, DocumentPlace]]) -> list[tuple[int, int, str | None]]:
    placed = PlacedPrompt(token_ids, places)
    match = DocumentMatch(KNOWN, CORE, grant="g1", by_reference=True)
    found = document_spans(placed, [match], lambda scope: f"publisher of {scope}")
    assert all((s.etag, s.publisher, s.grant) == ("e" * 64, "publisher of tenant:a", "g1") for s in found)
    assert all(s.by_reference and s.document == DOCUMENT.ref for s in found)
    return [(s.start, s.end, s.scope) for s in found]


def test_the_longest_published_prefix_counts() -> None:
    assert published_tokens(KNOWN, (1, 5, 6, 9)) == 3
    assert published_tokens(KNOWN, (1, 5, 9)) == 0


def test_a_prompt_that_begins_as_published_has_the_documents_own_scope() -> None:
    assert spans([1, 5, 6, 7, 9], [(0, DocumentPlace(1, 4))]) == [(1, 3, DOCUMENT.scope)]


def test_another_preamble_is_the_readers_own() -> None:
    assert spans([3, 5, 6, 7, 9], [(0, DocumentPlace(1, 4))]) == [(1, 4, None)]
