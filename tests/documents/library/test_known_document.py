from __future__ import annotations

from dataclasses import replace

from kvproxy.core import Visibility
from kvproxy.documents.library.document import Document, TokenizedDocument
from kvproxy.documents.library.known_document import DocumentMatch, KnownDocument, SpelledText


def tokenized(core: str) -> TokenizedDocument:
    return TokenizedDocument(core, "0" * 64, (1, 2), (), 0, 0, 0)


def known(visibility: Visibility = "public", version: int = 1, core: str = "core") -> KnownDocument:
    document = Document("doc", version, f"  {core}", "0" * 64, visibility, "tenant:a", 0)
    return KnownDocument(document, tokenized(core), ())


def test_spellings_begin_with_the_published_one() -> None:
    other = SpelledText("lf", "\n  other", tokenized("other"))
    spelled = replace(known(), others=(other,))
    assert [s.name for s in spelled.spellings] == ["published", "lf"]
    assert [s.leading for s in spelled.spellings] == ["  ", "\n  "]


def test_spellings_of_one_core_are_one_match() -> None:
    one = known()
    same = SpelledText("stripped", "core", tokenized("core"))
    assert len(replace(one, others=(same,)).matches) == 1
    assert len(replace(one, others=(SpelledText("lf", "x", tokenized("x")),)).matches) == 2


def test_the_longest_text_ranks_first_then_what_all_share_then_the_newest() -> None:
    ranked = [
        known("private", core="longer core"),
        known("public", version=2),
        known("public", version=1),
        known("private", version=9),
        known("granted", version=9),
    ]
    matches = [DocumentMatch(one, one.tokenized) for one in reversed(ranked)]
    assert [match.known for match in sorted(matches, key=lambda match: match.rank)] == ranked


def test_the_published_spelling_ranks_before_another_of_equal_text() -> None:
    one = known()
    respelled = DocumentMatch(one, tokenized("core"))
    assert DocumentMatch(one, one.tokenized).rank < respelled.rank
