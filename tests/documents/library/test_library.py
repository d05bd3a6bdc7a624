from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.core import Caller, DocumentRef, Visibility
from kvproxy.documents.library.document import Document, Origin, TokenizedDocument, etag_of
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.errors import DocumentNotFound

ALICE, BOB = Caller("alice", "tenant:a"), Caller("bob", "tenant:b")
LONG = "All of these documents begin with the very same words, more than an anchor holds. " * 2


def known(
    id: str, text: str, version: int = 1, owner: Caller = ALICE, visibility: Visibility = "public"
) -> KnownDocument:
    document = Document(id, version, text, etag_of(text), visibility, owner.scope, 0)
    core = text.strip()
    return KnownDocument(document, TokenizedDocument(core, etag_of(core), (), (), 0, 0, 0), ())


def names(library: Library) -> list[str]:
    return [str(k.document.ref) for k in library]


def front(library: Library, text: str, caller: Caller) -> str | None:
    found = library.find_at_front(text, caller)
    return None if found is None else str(found.known.document.ref)


def test_learned_versions_are_found_by_tenant() -> None:
    library = Library()
    for id, owner, learned in (("one", ALICE, True), ("two", ALICE, False), ("three", BOB, True)):
        made = known(id, f"text of {id}", owner=owner, visibility="private")
        origin: Origin = "learned" if learned else "published"
        library.add(replace(made, document=replace(made.document, origin=origin)))
    assert [k.document.id for k in library.learned(ALICE.scope)] == ["one"]
    assert sorted(k.document.id for k in library.learned()) == ["one", "three"]
    library.remove(DocumentRef("one", 1, ALICE.scope))
    assert library.learned(ALICE.scope) == [] and library.usage(ALICE.scope).versions == 1


def test_references_and_versions() -> None:
    library = Library()
    for version in (2, 1, 3):
        library.add(known("handbook", f"text {version}", version))
    assert names(library) == ["handbook@1", "handbook@2", "handbook@3"]
    assert library.resolve(DocumentRef("handbook"), BOB).document.version == 3
    assert library.resolve(DocumentRef("handbook", 1), BOB).document.text == "text 1"
    for absent in (DocumentRef("handbook", 4), DocumentRef("other")):
        with pytest.raises(DocumentNotFound) as caught:
            library.resolve(absent, BOB, param="messages[0].content[1].document")
        assert caught.value.param == "messages[0].content[1].document"


def test_the_longest_document_wins() -> None:
    library = Library()
    library.add(known("short", LONG))
    library.add(known("long", LONG + "And then some more."))
    library.add(known("tiny", "All of"))
    assert front(library, LONG + "And then some more. What?", ALICE) == "long@1"
    assert front(library, LONG + "And then no more. What?", ALICE) == "short@1"
    assert front(library, "All of us?", ALICE) == "tiny@1"
    assert front(library, "Not all of us?", ALICE) is None
    assert front(library, "", ALICE) is None


@pytest.mark.parametrize("length", [1, 63, 64, 65])
def test_documents_of_any_length(length: int) -> None:
    library = Library()
    library.add(known("d", "x" * length))
    assert front(library, "x" * length, ALICE) == "d@1"
    assert front(library, "x" * length + " y", ALICE) == "d@1"
    assert front(library, "x" * (length - 1) + "y", ALICE) is None


def test_private_documents_do_not_exist_for_others() -> None:
    library = Library()
    library.add(known("plan", LONG, owner=ALICE, visibility="private"))
    assert front(library, LONG, ALICE) == "plan@1"
    assert front(library, LONG, BOB) is None
    assert library.versions("plan", BOB) == []
    with pytest.raises(DocumentNotFound) as hidden:
        library.resolve(DocumentRef("plan"), BOB)
    with pytest.raises(DocumentNotFound) as absent:
        Library().resolve(DocumentRef("plan"), BOB)
    assert hidden.value.body() == absent.value.body()
    assert library.owner("plan") is None, "nobody has it publicly"


def test_a_private_version_does_not_hide_the_public_one_before_it() -> None:
    library = Library()
    library.add(known("plan", "one", 1))
    library.add(known("plan", "two", 2, visibility="private"))
    assert library.resolve(DocumentRef("plan"), BOB).document.version == 1
    assert library.resolve(DocumentRef("plan"), ALICE).document.version == 2


def test_of_equal_texts_the_public_one_is_found() -> None:
    library = Library()
    library.add(known("b", LONG, owner=BOB))
    library.add(known("a", LONG, visibility="private"))
    assert front(library, LONG, ALICE) == "b@1"


def test_removal_is_complete() -> None:
    library = Library()
    for version in (1, 2):
        library.add(known("d", f"{LONG}{version}", version))
    library.add(known("d", "tiny", 3))
    library.add(known("d", "tiny", 3))
    assert len(library) == 3
    library.remove(DocumentRef("d", 2))
    library.remove(DocumentRef("d", 7))
    assert names(library) == ["d@1", "d@3"]
    assert front(library, LONG + "2", ALICE) is None
    library.remove(DocumentRef("d"))
    assert len(library) == 0 and library.owner("d") is None
    assert front(library, LONG + "1", ALICE) is None and front(library, "tiny", ALICE) is None
