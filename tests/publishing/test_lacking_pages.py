"""Pages that another proxy has announced: found, found later, or computed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kvproxy.documents.registry.registry_entry import RegistryEntry
from kvproxy.publishing import lacking_pages
from kvproxy.publishing.lacking_pages import LackingPages
from kvproxy.publishing.restoration import Restoration
from tests.publishing.two_proxies import until
from tests.test_publish import ALICE, FRAMINGS, TEXT, Shop, folder

__all__ = ["folder"]


@dataclass
class Store:
    """An object store that has the pages from the ``later``-th look on."""

    disk: set[bytes]
    later: int
    looks: int = 0
    released: list[bytes] = field(default_factory=list)

    def find(self, keys: Sequence[bytes]) -> int:
        self.looks += 1
        if self.looks >= self.later:
            self.disk.update(keys)
        return len(self.disk & set(keys))

    def release(self, keys: Sequence[bytes]) -> None:
        self.released += keys


@pytest.fixture
async def shop(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """A version is known, and its pages have left memory and disk."""
    monkeypatch.setattr(lacking_pages, "PAUSES_S", (0.001,) * 4)
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    await shop.publish("rules", TEXT)
    shop.backend.disk.clear()
    shop.backend.evict()
    shop.backend._prefixes.computed = 0
    yield shop
    shop.registry.close()


def entry_of(shop: Shop) -> RegistryEntry:
    return shop.registry.load()[0]


async def looked(shop: Shop, store: Store | None) -> None:
    parts = shop.publisher._parts
    lacking = LackingPages(parts, Restoration(parts, lambda _: True), store)
    running = asyncio.create_task(lacking.run())
    await lacking.look(entry_of(shop))
    await until(lambda: shop.cached(TEXT, ALICE))
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("later", [1, 3])
async def test_pages_are_found_and_not_computed(shop: Shop, later: int) -> None:
    store = Store(shop.backend.disk, later)
    await looked(shop, store)
    assert store.looks == later and shop.backend._prefixes.computed == 0


async def test_pages_that_do_not_come_are_computed(shop: Shop) -> None:
    store = Store(shop.backend.disk, later=100)
    await looked(shop, store)
    assert store.looks == 5 and shop.backend._prefixes.computed > 0


async def test_without_shared_pages_they_are_computed_at_once(shop: Shop) -> None:
    await looked(shop, None)
    assert shop.backend._prefixes.computed > 0


async def test_what_is_released_is_what_no_other_version_needs(shop: Shop) -> None:
    parts, store = shop.publisher._parts, Store(shop.backend.disk, 1)
    second = await shop.publish("rules", TEXT + "More.", "public")
    lacking = LackingPages(parts, Restoration(parts, lambda _: True), store)
    await lacking.release(second)
    needed = {page.key for framing in entry_of(shop).framings for page in framing.kept.pages}
    assert store.released and not set(store.released) & needed
