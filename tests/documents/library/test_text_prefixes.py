"""Texts are found by how they begin, however many of them begin alike."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kvproxy.core import Caller, DocumentRef
from kvproxy.core.common_prefix import common_prefix
from kvproxy.documents.library.known_document import DocumentMatch
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.text_prefixes import TextPrefixes
from tests.documents.library.test_library import ALICE, BOB, known

HEAD = "Every document of a large house begins with the same long notice. " * 3


def test_lookups_equal_a_scan_of_all_texts() -> None:
    source = random.Random(3)
    index: TextPrefixes[str] = TextPrefixes()
    stored: set[str] = set()
    for step in range(1500):
        key = "".join(source.choices("ab", k=source.randrange(1, 9))) * source.choice([1, 1, 20])
        if source.random() < 0.4:
            index.put(key, ())
            stored.discard(key)
        else:
            index.put(key, (key,))
            stored.add(key)
        text = "".join(source.choices("ab", k=source.randrange(12))) * source.choice([1, 20])
        expected = sorted((k for k in stored if text.startswith(k)), key=len, reverse=True)
        assert list(index.starting(text)) == [(k,) for k in expected]
        assert list(index.starting("bb" + text, 2)) == [(k,) for k in expected]
        assert len(index) == len(stored)
        near, most = index.nearest(text), max((common_prefix(k, text) for k in stored), default=0)
        assert (near.common if near else 0) == most
        if near is not None:
            assert near.values == (near.key,) and common_prefix(near.key, text) == most
            assert text[:most] not in stored or near.key == text[:most], "a whole key comes first"
        if step % 50 == 0:
            assert index.check() == [] and set(index) == stored


def test_a_lookup_looks_at_few_of_many_that_begin_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    for number in range(1000):
        library.add(known(f"d{number}", f"{HEAD}Document {number:05d}."))
    looked: list[tuple[DocumentMatch, ...]] = []
    starting = TextPrefixes.starting

    def spy(
        index: TextPrefixes[DocumentMatch], text: str, at: int = 0
    ) -> Iterator[tuple[DocumentMatch, ...]]:
        for matches in starting(index, text, at):
            looked.append(matches)
            yield matches

    monkeypatch.setattr(TextPrefixes, "starting", spy)
    found = library.find_at_front(f"{HEAD}Document 00999. And a question.", BOB)
    assert found is not None and found.known.document.id == "d999"
    assert library.find_at_front(f"{HEAD}Document 0099x.", BOB) is None
    assert 1 <= len(looked) <= 10


def test_counts_equal_the_known_versions() -> None:
    library = Library()
    for number in range(9):
        library.add(known("d", f"Text {number}", number + 1))
    bad = replace(known("d", "Text 3", 4), quarantined="differs")
    library.add(bad)
    library.add(bad)
    assert (len(library), library.quarantined) == (9, 1)
    library.add(known("d", "Text 3", 4))
    assert (len(library), library.quarantined) == (9, 0)
    library.add(bad)
    library.remove(bad.document.ref)
    assert (len(library), library.quarantined) == (8, 0)


def test_a_version_that_becomes_private_is_visible_to_its_owner_only() -> None:
    library = Library()
    library.add(known("plan", "The plan."))
    assert library.find_at_front("The plan. Why?", BOB) is not None
    library.remove(DocumentRef("plan", 1))
    library.add(known("plan", "The plan.", visibility="private"))
    assert library.find_at_front("The plan. Why?", BOB) is None
    assert library.find_at_front("The plan. Why?", ALICE) is not None
    assert library.find_at_front("The plan. Why?", Caller("x", "tenant:x")) is None


def test_no_search_sees_a_text_that_the_caller_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a search follows from the keys of the indexes that it goes through."""
    library = Library()
    library.add(known("mine", "A text of Alice's.", owner=ALICE, visibility="private"))
    library.add(known("his", "A text of Bob's.", owner=BOB, visibility="private"))
    library.add(known("all", "A text for all.", owner=ALICE))
    seen: list[str] = []
    way = TextPrefixes._way

    def spy(index: TextPrefixes[DocumentMatch], text: str, at: int = 0) -> list[Any]:
        seen.extend(index)
        return way(index, text, at)

    monkeypatch.setattr(TextPrefixes, "_way", spy)
    assert library.find_at_front("A text of Alice's. Why?", BOB) is None
    near = library.nearest("  A text of Alice's. Why?", BOB)
    assert (
        near is not None and near.match.known.document.id == "his" and (near.common, near.leading) == (10, 2)
    )
    assert set(seen) == {"A text of Bob's.", "A text for all."}


def test_the_nearest_of_several_is_the_whole_one_and_then_the_longest_beginning() -> None:
    library = Library()
    library.add(known("short", "One beginning."))
    library.add(known("long", "One beginning. And more."))
    library.add(known("mine", "One beginning. And more!", visibility="private"))
    found = [
        (near.match.known.document.id, near.common)
        for text in (
            "One beginning. Or",
            "One beginning.",
            "One beginning. And more. Why?",
            "One beginning. And more! Why?",
        )
        if (near := library.nearest(text, ALICE)) is not None
    ]
    assert found == [("long", 15), ("short", 14), ("long", 24), ("mine", 24)]
    part = library.nearest("One beg", ALICE)
    assert part is not None and part.common == 7
    assert library.nearest("Another", ALICE) is None and library.nearest("", ALICE) is None
