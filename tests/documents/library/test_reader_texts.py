"""A reader's index holds the documents of its last state, and compares no text to get there that stays."""

from __future__ import annotations

from kvproxy.documents.library.known_document import DocumentMatch, KnownDocument
from kvproxy.documents.library.reader_texts import ReaderTexts, add_matches
from kvproxy.documents.library.text_prefixes import TextPrefixes
from tests.documents.library.test_library import known

ONE, TWO = known("one", "The first text."), known("two", "The second text.")


def ids(texts: ReaderTexts, documents: list[KnownDocument], state: int) -> list[str]:
    index = texts.of(lambda: documents, state)
    assert index.check() == []
    return sorted(match.known.document.id for key in index for match in index.get(key))


def test_it_follows_its_documents_and_asks_for_them_once_in_a_state() -> None:
    texts = ReaderTexts()
    assert ids(texts, [ONE], 1) == ["one"]
    assert ids(texts, [ONE, TWO], 1) == ["one"], "the state is the same"
    assert ids(texts, [ONE, TWO], 2) == ["one", "two"]
    newer = known("one", "Another text.")
    assert ids(texts, [newer, TWO], 3) == ["one", "two"]
    assert [m.known is newer for m in texts.texts.get("Another text.")] == [True]
    assert ids(texts, [], 4) == [] and len(texts.texts) == 0


def test_documents_of_one_text_are_held_in_the_order_of_preference() -> None:
    index: TextPrefixes[DocumentMatch] = TextPrefixes()
    private, public = known("mine", "Same.", visibility="private"), known("all", "Same.")
    for each in (private, public, private):
        add_matches(index, each)
    assert [m.known.document.id for m in index.get("Same.")] == ["all", "mine"]
    add_matches(index, public, remove=True)
    assert [m.known.document.id for m in index.get("Same.")] == ["mine"]
    add_matches(index, private, remove=True)
    assert len(index) == 0
