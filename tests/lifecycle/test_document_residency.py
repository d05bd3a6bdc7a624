from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.core import DocumentRef
from kvproxy.errors import CannotFit, DocumentNotFound, DocumentRejected, Overloaded, PermissionDenied
from kvproxy.publishing.pin_budget import PinLimit
from tests.publishing.test_document_pins import folder
from tests.test_publish import ALICE, BOB, FRAMINGS, TEXT, Shop

__all__ = ["folder"]

REF = DocumentRef("rules")


@pytest.fixture
async def shop(folder: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    await shop.publish("rules", TEXT)
    yield shop
    assert shop.registry.check() == [] and shop.backend.check() == []
    shop.registry.close()


def pages(shop: Shop) -> int:
    return shop.backend.most_pinned - shop.backend.pin_room()


async def test_a_pin_and_an_unpin_are_operations_of_their_own(shop: Shop) -> None:
    residency = shop.publisher.residency
    report = await residency.pin(REF, ALICE)
    assert report.limit is None and report.pinned == report.asked == pages(shop) > 0
    assert [f.framing for f in report.framings] == [f.name for f in FRAMINGS]
    assert report.room == report.budget - report.pinned
    assert (await shop.publisher.get(REF, BOB)).pinned and shop.registry.load()[0].pinned
    assert await residency.pin(REF, ALICE) == report, "the same again"
    after = await residency.unpin(REF, ALICE)
    assert (after.pinned, after.asked, pages(shop)) == (0, report.asked, 0)
    assert not (await shop.publisher.get(REF, BOB)).pinned and not shop.registry.load()[0].pinned


async def test_a_pin_that_does_not_fit_is_all_or_nothing_unless_a_part_is_asked_for(shop: Shop) -> None:
    residency, asked = shop.publisher.residency, (await shop.publisher.residency.pin(REF, ALICE)).asked
    await residency.unpin(REF, ALICE)
    shop.backend.most_pinned = asked - 1
    with pytest.raises(CannotFit, match="pin a part of it"):
        await residency.pin(REF, ALICE)
    assert pages(shop) == 0 and not shop.registry.load()[0].pinned
    report = await residency.pin(REF, ALICE, partial=True)
    assert report.limit is PinLimit.PIN_BUDGET and report.pinned == asked - 1 == pages(shop)
    assert report.room == 0 and shop.registry.load()[0].pinned
    *whole, last = report.framings
    assert all(f.limit is None for f in whole) and last.pinned == last.asked - 1
    shop.backend.most_pinned = asked
    assert (await residency.pin(REF, ALICE)).pinned == asked, "the rest, once there is room"
    assert pages(shop) == asked


async def test_without_any_room_nothing_is_pinned_and_the_reason_is_told(shop: Shop) -> None:
    shop.backend.most_pinned = 0
    report = await shop.publisher.residency.pin(REF, ALICE, partial=True)
    assert (report.pinned, report.limit, report.room) == (0, PinLimit.PIN_BUDGET, 0)
    assert not (await shop.publisher.get(REF, BOB)).pinned and not shop.registry.load()[0].pinned


async def test_a_tenant_has_a_budget_of_its_own(folder: Path, tmp_path: Path) -> None:
    shop = Shop(folder, tmp_path, set(), FRAMINGS, pin_share=0.5)
    await shop.publish("rules", TEXT)
    await shop.publish("others", "Other. " + TEXT, "private", BOB)
    needed = (await shop.publisher.residency.pin(REF, ALICE)).asked
    await shop.publisher.residency.unpin(REF, ALICE)
    shop.backend.most_pinned = 2 * needed
    first = await shop.publisher.residency.pin(REF, ALICE)
    assert (first.room, first.budget) == (0, needed)
    with pytest.raises(CannotFit, match=r"your documents may pin 0 more of the \d+ that one tenant may pin"):
        await shop.publisher.publish("more", "More. " + TEXT, None, ALICE, pinned=True)
    await shop.publish("more", "More. " + TEXT)
    part = await shop.publisher.residency.pin(DocumentRef("more"), ALICE, partial=True)
    assert (part.pinned, part.limit) == (0, PinLimit.TENANT_BUDGET)
    assert (await shop.publisher.residency.pin(DocumentRef("others"), BOB)).limit is None, "another's budget"
    shop.registry.close()


async def test_busy_memory_is_told_apart_from_a_budget(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(*_: object) -> None:
        raise Overloaded("memory is short", retry_after_s=5)

    monkeypatch.setattr(shop.backend, "pin", busy)
    report = await shop.publisher.residency.pin(REF, ALICE, partial=True)
    assert (report.pinned, report.limit) == (0, PinLimit.BUSY)


async def test_a_partial_pin_comes_back_after_a_restart(shop: Shop) -> None:
    shop.backend.most_pinned = 2
    await shop.publisher.residency.pin(REF, ALICE, partial=True)
    again = shop.reopen()
    again.backend.most_pinned = 2
    await again.publisher.restore()
    await again.publisher.refresh()
    assert sum(again.backend.pinned.values()) == 2
    again.registry.close()


async def test_warming_loads_or_computes_and_generates_nothing(shop: Shop) -> None:
    residency = shop.publisher.residency
    info = await shop.publisher.get(REF, ALICE)
    tokens = sum(f.tokens for f in info.framings)
    shop.backend.evict()
    seen: list[tuple[int, int]] = []
    loaded = await residency.warm(REF, ALICE, lambda done, total: seen.append((done, total)))
    assert (loaded.before, loaded.after, loaded.loaded, loaded.computed) == (0, tokens, tokens, 0)
    assert seen == sorted(seen) and seen[-1] == (tokens, tokens)
    again = await residency.warm(REF, ALICE)
    assert (again.before, again.loaded, again.computed) == (tokens, 0, 0)
    shop.backend.evict()
    shop.backend.disk.clear()
    computed = await residency.warm(REF, ALICE)
    assert (computed.loaded, computed.computed) == (0, tokens)
    assert shop.backend.generations == []
    shop.backend.info = replace(shop.backend.info, fleet=True)
    shop.backend.evict()
    assert (await residency.warm(REF, ALICE)).loaded == 0, "a fleet's replicas load nothing that is seen here"


async def test_pages_of_another_engine_are_computed_and_recorded(shop: Shop) -> None:
    (entry,) = shop.registry.load()
    shop.backend.disk.clear()
    shop.registry.replace_kept(entry.document.ref, ())
    again = shop.reopen()
    await again.publisher.restore()
    report = await again.publisher.residency.warm(REF, ALICE)
    assert report.computed > 0 and len(again.registry.load()[0].framings) == len(FRAMINGS)
    again.registry.close()


async def test_only_the_publisher_decides(shop: Shop) -> None:
    residency = shop.publisher.residency
    for call in (residency.pin, residency.unpin, residency.warm):
        with pytest.raises(PermissionDenied):
            await call(REF, BOB)
        with pytest.raises(DocumentNotFound):
            await call(DocumentRef("nope"), ALICE)


async def test_a_version_in_quarantine_is_neither_pinned_nor_warmed(shop: Shop) -> None:
    await shop.publisher.quarantine.confine({DocumentRef("rules", 1): "page 1 differs"})
    for call in (shop.publisher.residency.pin, shop.publisher.residency.warm):
        with pytest.raises(DocumentRejected, match="in quarantine"):
            await call(REF, ALICE)


async def test_a_pin_waits_for_a_publish_of_the_same_document(shop: Shop) -> None:
    shop.backend.start_delay_s = 1e-3
    both = await asyncio.gather(
        shop.publisher.publish("rules", TEXT + "More.", None, ALICE), shop.publisher.residency.pin(REF, ALICE)
    )
    assert both[1].document == "rules@2"
