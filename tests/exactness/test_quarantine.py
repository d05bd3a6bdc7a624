from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kvproxy.backends.base import BadPage
from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import PUBLIC, ChatRequest, DocumentRef, Kept, Message, Miss, MissReason, TextPart
from kvproxy.documents.matching import decide
from kvproxy.errors import Unavailable
from kvproxy.exactness.verify import Verifier
from tests.documents.models import write_model
from tests.test_publish import ALICE, BOB, FRAMINGS, TEXT, Shop, over

REF = DocumentRef("rules", 1)
MORE = TEXT + "One more rule, and then the last.\n" * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "qwen3")


@pytest.fixture
async def shop(folder: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    yield shop
    assert shop.registry.check() == [] and shop.backend.check() == []
    shop.registry.close()


def reason(shop: Shop) -> MissReason | None:
    """Why a reader of the document misses; None for a hit."""
    messages = (Message("system", (TextPart(TEXT),)), Message("user", (TextPart("Q"),)))
    prompt = shop.composer.compose(ChatRequest("fake", messages), BOB)
    with shop.backend.hold(prompt, BOB) as lookup:
        decision = decide(prompt, lookup)
    return decision.reason if isinstance(decision, Miss) else None


async def note(shop: Shop) -> str | None:
    return (await shop.publisher.get(REF, ALICE)).quarantined


async def test_a_document_in_quarantine_is_a_miss_until_it_is_published_again(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    assert reason(shop) is None and await note(shop) is None
    await shop.publisher.quarantine.confine({REF: "page 1 differs"})
    assert reason(shop) is MissReason.QUARANTINED and await note(shop) == "page 1 differs"
    assert shop.backend.disk == set() and shop.cached(TEXT, BOB) == 0
    assert shop.library.quarantined == 1
    assert [known.document.ref for known in shop.library.in_quarantine()] == [REF]
    since = shop.publisher.quarantine.since(REF)
    assert since is not None and 0 <= time.time() - since < 600
    again = await shop.publisher.publish("rules", TEXT, None, ALICE)
    assert not again.created and again.info.version == 1 and again.info.quarantined is None
    assert reason(shop) is None and shop.library.quarantined == 0
    assert shop.library.in_quarantine() == [] and shop.publisher.quarantine.since(REF) is None
    assert shop.registry.page_keys() == shop.backend.disk


async def test_a_restart_changes_nothing(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    await shop.publisher.quarantine.confine({REF: "page 1 differs"})
    again = shop.reopen()
    await again.publisher.restore()
    await again.publisher.refresh()
    assert reason(again) is MissReason.QUARANTINED and await note(again) == "page 1 differs"
    assert again.backend.disk == set()
    assert [known.document.ref for known in again.library.in_quarantine()] == [REF]
    assert again.publisher.quarantine.since(REF) is None, "nobody has noted when"
    again.registry.close()


async def test_pages_are_traced_to_all_that_need_them(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    await shop.publish("rules", MORE)
    first, *_ = shop.registry.load()[0].framings[0].kept.pages
    page = BadPage(PUBLIC, first.key, 0, 17, 0.5)
    owners = shop.publisher.quarantine.owners([page])
    assert owners == {REF: page, DocumentRef("rules", 2): page}
    assert shop.publisher.quarantine.owners([BadPage("tenant:b", first.key, 0, 17, 0.5)]) == {}
    await shop.publisher.quarantine.confine({DocumentRef("gone", 1): "no such document is no error"})
    await shop.publisher.delete(DocumentRef("rules"), ALICE)
    assert shop.publisher.quarantine.owners([page]) == {}


async def test_pages_that_a_version_in_use_needs_are_spared(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    await shop.publish("rules", MORE)
    whole = shop.cached(MORE, BOB)
    healthy = {p.key for f in shop.registry.load()[1].framings for p in f.kept.pages}
    await shop.publisher.quarantine.confine({REF: "its own end differs"})
    assert shop.cached(MORE, BOB) == whole and shop.backend.disk == healthy
    await shop.publisher.quarantine.confine({REF: "nobody knows which page"}, spare=False)
    assert shop.backend.disk < healthy


async def test_all_versions_that_share_a_differing_page_are_confined(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    await shop.publish("rules", MORE)
    quarantine = shop.publisher.quarantine
    assert quarantine.owners_at(REF, FRAMINGS[0].name, 0) == [REF, DocumentRef("rules", 2)]
    assert quarantine.owners_at(REF, FRAMINGS[0].name, 10**6) == [REF]
    await quarantine.confine({REF: "page 0", DocumentRef("rules", 2): "page 0"})
    assert shop.backend.disk == set()


async def test_a_verification_finds_it_and_lets_it_out(shop: Shop) -> None:
    verifier = Verifier(shop.composer, shop.library, shop.backend, "m", shop.publisher.quarantine)
    await shop.publish("rules", TEXT)
    assert all(v.exact for v in await verifier.verify(REF, BOB)) and reason(shop) is None
    shop.backend.difference = 0.25
    for _ in range(2):
        found = await verifier.verify(REF, BOB)
        assert [v.exact for v in found] == [False] * len(FRAMINGS)
        assert reason(shop) is MissReason.QUARANTINED and shop.backend.disk == set()
        assert "from position 0 on" in (await note(shop) or "")
    shop.backend.difference = 0.0
    done: list[tuple[int, int]] = []
    assert all(v.exact for v in await verifier.verify(REF, BOB, 3, lambda *p: done.append(p)))
    assert reason(shop) is None and done == sorted(done)
    assert shop.registry.page_keys() == shop.backend.disk != set()


class StuckDisk(FakeBackend):
    """Cannot drop pages."""

    stuck = True

    async def forget(
        self, kept: Kept, scope: str, still_kept: frozenset[bytes], owner: str | None = None
    ) -> None:
        if self.stuck:
            raise Unavailable("the page store cannot delete: disk I/O error")
        await super().forget(kept, scope, still_kept, owner)


async def test_every_note_is_on_disk_though_no_page_can_be_dropped(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    backend = StuckDisk(disk=shop.backend.disk, max_context=16_384)
    publisher = over(shop, backend)
    for text in (TEXT, MORE):
        await publisher.publish("rules", text, None, ALICE)
    both = {REF: "page 1 differs", DocumentRef("rules", 2): "page 1 differs"}
    await publisher.quarantine.confine(both)
    assert caplog.text.count(
        "could not be dropped; they are not used: the page store cannot delete"
    ) == 2 * len(FRAMINGS)
    again = shop.reopen()
    await again.publisher.restore()
    await again.publisher.refresh()
    assert {i.version: i.quarantined for i in await again.publisher.list(ALICE)} == {
        1: "page 1 differs",
        2: "page 1 differs",
    }
    assert again.cached(MORE, BOB) == 0
    again.registry.close()
    with pytest.raises(Unavailable):
        await publisher.publish("rules", MORE, None, ALICE)  # else its old pages would be found again
    backend.stuck = False
    assert (await publisher.publish("rules", MORE, None, ALICE)).info.quarantined is None


async def test_a_cancelled_confinement_is_completed(shop: Shop) -> None:
    """A verification is a client's request."""
    await shop.publish("rules", TEXT)
    await shop.publish("rules", MORE)
    both = {REF: "page 1 differs", DocumentRef("rules", 2): "page 1 differs"}
    task = asyncio.ensure_future(shop.publisher.quarantine.confine(both))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [entry.quarantined for entry in shop.registry.load()] == ["page 1 differs"] * 2
    assert shop.backend.disk == set()


async def test_a_version_confined_again_while_it_is_let_out_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.publish("rules", TEXT)
    await shop.publisher.quarantine.confine({REF: "page 1 differs"})
    entered, go_on = asyncio.Event(), asyncio.Event()
    keep = shop.backend.keep

    async def slowly(*arguments: Any, **options: Any) -> Kept:
        entered.set()
        await go_on.wait()
        return await keep(*arguments, **options)

    monkeypatch.setattr(shop.backend, "keep", slowly)
    publishing = asyncio.ensure_future(shop.publish("rules", TEXT))
    await entered.wait()
    confining = asyncio.ensure_future(shop.publisher.quarantine.confine({REF: "page 2 differs"}))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(publishing, confining)
    assert await note(shop) == "page 2 differs" == shop.registry.load()[0].quarantined
    assert shop.backend.disk == set(), "what was found wrong last counts"
    await shop.publish("rules", TEXT)
    assert await note(shop) is None is shop.registry.load()[0].quarantined
    assert shop.backend.disk == shop.registry.page_keys()


async def test_an_inexact_engine_confines_nothing(folder: Path, tmp_path: Path) -> None:
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    shop.backend.info = type(shop.backend.info)("m", 16_384, 256, 16_384, exact=False)
    verifier = Verifier(shop.composer, shop.library, shop.backend, "m", shop.publisher.quarantine)
    await shop.publish("rules", TEXT)
    shop.backend.difference = 0.25
    assert not any(v.exact for v in await verifier.verify(REF, BOB))
    assert reason(shop) is None
    shop.registry.close()
