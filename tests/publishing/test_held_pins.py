from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import PUBLIC, DocumentRef, Kept
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.errors import CannotFit
from kvproxy.publishing.held_pins import HeldPins
from kvproxy.publishing.holdings import DocumentHolding, Holdings
from kvproxy.publishing.pin_budget import PinLimit

REF, OTHER = DocumentRef("a", 1), DocumentRef("b", 1)


async def made(backend: FakeBackend, share: float = 1.0) -> HeldPins:
    holdings = Holdings()
    for number, ref in enumerate((REF, OTHER)):
        kept = await backend.keep(tuple(range(number, number + 600)), PUBLIC)
        holdings.put(ref, DocumentHolding(PUBLIC, (KeptFraming("system", kept),), "alice"))
    return HeldPins(backend, holdings, lambda: share)


async def test_what_is_taken_is_released() -> None:
    backend = FakeBackend()
    pins = await made(backend)
    held = await pins.take_what_fits(REF, "alice", Counter())
    assert held.whole and REF in pins and list(pins) == [REF] and len(pins.pages("alice")) == 3
    await pins.release(REF)
    assert backend.pinned == {} and pins.get(REF) is None and pins.pages("alice") == set()
    await pins.release(REF)


async def test_a_part_is_replaced_by_the_whole_and_stays_when_that_fails() -> None:
    backend = FakeBackend()
    pins = await made(backend)
    backend.most_pinned = 2
    part = await pins.take_what_fits(REF, "alice", Counter())
    assert not part.whole and len(part.pages) == 2
    report = pins.report(REF, "alice", pins.allowance("alice", Counter()))
    assert (report.asked, report.pinned, report.limit) == (3, 2, PinLimit.PIN_BUDGET)
    with pytest.raises(CannotFit):
        await pins.take_all(REF, "alice", pins._holdings.get(REF))
    assert pins.get(REF) is part and sum(backend.pinned.values()) == 2
    backend.most_pinned = 5
    await pins.take_all(REF, "alice", pins._holdings.get(REF))
    found = pins.get(REF)
    assert found is not None and found.whole and sum(backend.pinned.values()) == 3


async def test_reservations_and_another_tenants_pins_count_as_they_should() -> None:
    backend = FakeBackend()
    backend.most_pinned = 8
    pins = await made(backend, share=0.5)
    await pins.take_what_fits(OTHER, "bob", Counter())
    left = pins.allowance("alice", Counter({"alice": 1, "carol": 2}))
    assert (left.tenant, left.everybody) == (3, 8 - 3 - 3)
    assert pins.budget == 4


async def test_a_prefix_without_pages_is_pinned_as_a_fleet_does() -> None:
    class WithoutPages(FakeBackend):
        pins = 0

        async def pin(
            self, kept: Kept, scope: str, owner: str | None = None
        ) -> Callable[[], Awaitable[None]]:
            assert owner == "alice"
            self.pins += 1

            async def release() -> None:
                self.pins -= 1

            return release

    backend, holdings = WithoutPages(), Holdings()
    kept = replace(await backend.keep(tuple(range(600)), PUBLIC), pages=())
    holdings.put(REF, DocumentHolding(PUBLIC, (KeptFraming("system", kept),), "alice"))
    pins = HeldPins(backend, holdings, lambda: 1.0)
    await pins.take_what_fits(REF, "alice", Counter())
    assert backend.pins == 1 and REF in pins
    await pins.take_all(REF, "alice", holdings.get(REF))
    assert backend.pins == 1  # the one before was released
    await pins.release(REF)
    assert backend.pins == 0 and REF not in pins
