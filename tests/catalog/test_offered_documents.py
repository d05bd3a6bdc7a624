from __future__ import annotations

from kvproxy.catalog.offered_documents import LibraryOffers
from kvproxy.core import Caller
from kvproxy.documents.library.document import Document, TokenizedDocument, etag_of
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from tests.documents.library.granted_rights import PlannedRights

ACME, ALICE, BOB = (Caller(name, f"tenant:{name}") for name in ("acme", "alice", "bob"))


def known(id: str, version: int, visibility: str, owner: Caller = ACME) -> KnownDocument:
    text = f" The text of {id} {version}. "
    core = text.strip()
    tokens = TokenizedDocument(core, etag_of(core), tuple(range(len(core))), (), 0, 0, 0)
    document = Document(id, version, text, etag_of(text), visibility, owner.scope, 1_700_000_000)  # type: ignore[arg-type]  # a visibility
    return KnownDocument(document, tokens, ())


async def names(library: Library, caller: Caller) -> list[str]:
    return [one.name for one in await LibraryOffers(library).to(caller)]


async def test_no_private_document_is_offered_not_even_to_its_owner() -> None:
    library = Library(PlannedRights())
    library.add(known("open", 1, "public"))
    library.add(known("own", 1, "private"))
    library.add(known("own", 2, "private", ALICE))
    for caller in (ACME, ALICE, BOB):
        assert await names(library, caller) == ["open@1"]


async def test_a_granted_document_is_offered_to_those_with_a_grant_and_to_its_publisher() -> None:
    rights = PlannedRights()
    library = Library(rights)
    library.add(known("manual", 1, "granted"))
    library.add(known("manual", 2, "granted"))
    assert await names(library, ALICE) == []
    rights.grant("manual", "alice", version=2)
    assert await names(library, ALICE) == ["manual@2"]
    assert await names(library, BOB) == []
    assert await names(library, ACME) == ["manual@1", "manual@2"]
    (shown,) = await LibraryOffers(library).to(ALICE)
    assert shown.grant == "grant-manual-alice" and shown.publisher == "acme"
    assert [one.grant for one in await LibraryOffers(library).to(ACME)] == [None, None]
    rights.end("manual", "alice", "revoked")
    assert await names(library, ALICE) == []


async def test_a_text_is_found_with_and_without_the_white_space_around_it() -> None:
    library = Library(PlannedRights())
    library.add(known("open", 1, "public"))
    library.add(known("open", 2, "public"))
    first, second = await LibraryOffers(library).to(BOB)
    assert (first.current, second.current) == (False, True)
    assert second.digests == {etag_of(" The text of open 2. "), etag_of("The text of open 2.")}
    assert second.sha256 == etag_of(" The text of open 2. ") and second.tokens == 19
