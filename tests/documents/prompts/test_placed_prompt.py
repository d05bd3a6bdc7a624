from __future__ import annotations

import pytest

from kvproxy.documents.library.document import Document, FramedPrefix, TokenizedDocument
from kvproxy.documents.library.known_document import DocumentMatch, KnownDocument
from kvproxy.documents.prompts.placed_prompt import placed_documents, published_prefix
from kvproxy.documents.tokens.joined_tokens import DocumentPlace

CORE = TokenizedDocument("core", "0" * 64, (5, 6, 7), (), 0, 0, 0)
DOCUMENT = Document("doc", 2, "core", "e" * 64, "public", "tenant:a", 0)
KNOWN = KnownDocument(DOCUMENT, CORE, (FramedPrefix("system", (1, 5, 6)), FramedPrefix("user", (1, 2, 5))))


def spans(token_ids: list[int], place: DocumentPlace) -> list[tuple[int, int, str | None]]:
    match = DocumentMatch(KNOWN, CORE, grant="g1", by_reference=True)
    found = placed_documents(
        tuple(token_ids), [(0, place)], [match], lambda scope: f"publisher of {scope}"
    ).spans
    assert all((s.etag, s.publisher, s.grant) == ("e" * 64, "publisher of tenant:a", "g1") for s in found)
    assert all(s.by_reference and s.document == DOCUMENT.ref for s in found)
    return [(s.start, s.end, s.scope) for s in found]


@pytest.mark.parametrize("place", [DocumentPlace(1, 3), DocumentPlace(1, 3, own=1, resume=0)])
def test_the_longest_published_prefix_counts(place: DocumentPlace) -> None:
    match = DocumentMatch(KNOWN, CORE)
    assert published_prefix(match, (1, 5, 6, 9), place) is KNOWN.prefixes[0]
    assert published_prefix(match, (2, 5, 6, 9), place) is None
    assert published_prefix(match, (1, 5, 9), place) is None
    assert published_prefix(match, (1, 2, 5, 9), DocumentPlace(2, 3, own=2)) is KNOWN.prefixes[1]


def test_kept_tokens_that_are_not_those_of_the_prefix_are_no_beginning() -> None:
    """The document's own token 1 stands where the prefix has another."""
    match = DocumentMatch(KNOWN, CORE)
    assert published_prefix(match, (1, 6, 6, 9), DocumentPlace(1, 3, own=1, resume=1)) is None


def test_the_prefix_that_a_prompt_begins_with_is_known_with_its_keys() -> None:
    match = DocumentMatch(KNOWN, CORE)
    found = placed_documents((1, 5, 6, 7), [(0, DocumentPlace(1, 4))], [match], str)
    assert found.known is not None and found.known.tokens == 3
    assert found.known.keys is KNOWN.prefixes[0].keys
    assert placed_documents((3, 5, 6, 7), [(0, DocumentPlace(1, 4))], [match], str).known is None


def test_a_prompt_that_begins_as_published_has_the_documents_own_scope() -> None:
    assert spans([1, 5, 6, 7, 9], DocumentPlace(1, 4)) == [(1, 3, DOCUMENT.scope)]


def test_another_preamble_is_the_readers_own() -> None:
    assert spans([3, 5, 6, 7, 9], DocumentPlace(1, 4)) == [(1, 4, None)]
