"""Views of a large library: right, and made in slices between which the event loop has its turns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import Caller, DocumentRef, Kept, KeptPage, Visibility
from kvproxy.documents.library.document import Document, TokenizedDocument
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.recorded_reads import RecordedReads
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.publishing.document_views import SLICE, DocumentViews
from kvproxy.publishing.holdings import DocumentHolding, Holdings

ANN = Caller("ann", "tenant:ann")
BOB = Caller("bob", "tenant:bob")


class Home:
    """A library of short documents; ``looked`` counts lookups of residency, ``before`` is called at each."""

    def __init__(self, ids: Sequence[str], versions: int = 1) -> None:
        self.library, self.holdings, self.backend = Library(), Holdings(), FakeBackend()
        self.looked = 0
        real = self.backend.resident

        def resident(kept: Kept, caller: Caller) -> int:
            self.looked += 1
            return real(kept, caller)

        self.backend.resident = resident  # type: ignore[method-assign]  # the fake, counted
        self.views = DocumentViews(
            self.library,
            self.holdings,
            self.backend,
            frozenset({DocumentRef(ids[0], 1)}),
            lambda ref: RecordedReads(),
        )
        for id in ids:
            for version in range(1, versions + 1):
                self.add(id, version)

    def add(self, id: str, version: int, owner: Caller = ANN, private: bool = False) -> None:
        text = f"  {id} {version}"
        tokens = tuple(range(1, 20))
        tokenized = TokenizedDocument(text.strip(), "", tokens, (), 0, 0, 0)
        visibility: Visibility = "private" if private else "public"
        document = Document(id, version, text, "etag", visibility, owner.scope, 0)
        self.library.add(KnownDocument(document, tokenized, ()))
        kept = Kept("fake", tokens, (KeptPage(b"k", len(tokens)),), 4, 0.0)
        framings = (KeptFraming("system", kept),)
        self.holdings.put(document.ref, DocumentHolding(document.scope, framings, document.owner_scope))


async def test_the_event_loop_runs_on_while_a_large_library_is_viewed() -> None:
    home = Home([f"d{i:05}" for i in range(40 * SLICE)])
    work = asyncio.ensure_future(home.views.all(ANN))
    most = 0
    while not work.done():
        before = home.looked
        await asyncio.sleep(0)
        most = max(most, home.looked - before)
    assert len(work.result()) == 40 * SLICE == home.looked
    assert most <= SLICE


async def test_views_are_in_order_and_name_the_newest_version_that_is_seen() -> None:
    home = Home(["b", "a"], versions=3)
    home.add("a", 4, owner=BOB, private=True)
    seen = await home.views.all(ANN)
    assert [(v.id, v.version, v.current) for v in seen] == [
        *(("a", n, n == 3) for n in (1, 2, 3)),
        *(("b", n, n == 3) for n in (1, 2, 3)),
    ]
    assert [v.pinned for v in seen] == [False] * 3 + [True, False, False]
    assert seen[2] == home.views.of(DocumentRef("a", 3), ANN)
    assert seen[0].spellings[0].leading == "  "
    assert (await home.views.all(BOB))[3].current, "who may see it sees the newest"


async def test_a_document_deleted_meanwhile_is_left_out() -> None:
    home = Home([f"d{i:03}" for i in range(3 * SLICE)])
    work = asyncio.ensure_future(home.views.all(ANN))
    await asyncio.sleep(0)
    home.library.remove(DocumentRef(f"d{3 * SLICE - 1:03}"))
    assert len(await work) == 3 * SLICE - 1
