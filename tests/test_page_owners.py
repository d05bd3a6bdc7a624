"""Every page on disk counts for the publisher of its document, for each way in which it was written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import DocumentRef, Kept
from kvproxy.store.publisher_shares import PublisherShares
from tests.test_publish import ALICE, BOB, FRAMINGS, TEXT, Shop, folder, over

__all__ = ["folder"]


class Counted(FakeBackend):
    """Counts pages as the page store does: a page written without an owner after a drop has none."""

    def __init__(self, disk: set[bytes]) -> None:
        super().__init__(disk=disk, max_context=16_384)
        self.shares = PublisherShares(2**20)
        self.keeps = 0
        self.told: defaultdict[str, list[str | None]] = defaultdict(list)
        """The owners that calls about kept prefixes were given, by the call's name."""
        self.meanwhile: dict[int, Callable[[], Awaitable[None]]] = {}
        """Hooks that run before a call of ``keep``, by its number."""

    async def keep(
        self,
        token_ids: tuple[int, ...],
        scope: str,
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
        reuse: tuple[str, ...] = (),
    ) -> Kept:
        self.keeps += 1
        if self.keeps in self.meanwhile:
            await self.meanwhile[self.keeps]()
        before = set(self.disk)
        kept = await super().keep(token_ids, scope, progress, owner, reuse)
        for key in self.disk - before:
            self.shares.add(key, 1, owner)
        return kept

    async def forget(
        self, kept: Kept, scope: str, still_kept: frozenset[bytes], owner: str | None = None
    ) -> None:
        self.told["forget"].append(owner)
        before = set(self.disk)
        await super().forget(kept, scope, still_kept, owner)
        self.lose(before - self.disk)

    async def known(self, kept: Kept, scope: str, owner: str | None = None) -> int:
        self.told["known"].append(owner)
        return await super().known(kept, scope, owner)

    def in_memory(self, kept: Kept, scope: str, owner: str | None = None) -> int:
        self.told["in_memory"].append(owner)
        return super().in_memory(kept, scope, owner)

    async def pin(self, kept: Kept, scope: str, owner: str | None = None) -> Callable[[], Awaitable[None]]:
        self.told["pin"].append(owner)
        return await super().pin(kept, scope, owner)

    def lose(self, keys: set[bytes]) -> None:
        for key in keys:
            self.disk.discard(key)
            self.shares.remove(key)
            self.shares.forget(key)

    def owners(self) -> dict[bytes, str]:
        return {key: self.shares.owner(key) for key in self.disk}


@pytest.fixture
def shop(folder: Path, tmp_path: Path) -> Shop:
    return Shop(folder, tmp_path, set(), FRAMINGS)


async def test_pages_are_their_publishers(shop: Shop) -> None:
    backend = Counted(shop.backend.disk)
    publisher = over(shop, backend)
    await publisher.publish("rules", TEXT, "private", ALICE)
    await publisher.publish("rules", TEXT, "private", BOB)
    await publisher.publish("rules", TEXT, "public", BOB)
    owners = backend.owners()
    assert owners == shop.registry.page_owners() and list(owners.values()).count(ALICE.scope) * 3 == len(
        owners
    )
    await publisher.quarantine.confine({DocumentRef("rules", 2): "page 1 differs"})
    await publisher.publish("rules", TEXT, "public", BOB)
    assert backend.owners() == owners, "also when they were computed again"
    shop.close()


async def test_pages_made_again_after_a_deletion_are_the_new_documents(shop: Shop) -> None:
    """The publish found the pages there, and lost them to the deletion of the document that they belonged to."""
    backend = Counted(shop.backend.disk)
    publisher = over(shop, backend)
    await publisher.publish("rules", TEXT, None, ALICE)
    backend.meanwhile[2 * len(FRAMINGS)] = lambda: publisher.delete(DocumentRef("rules"), ALICE)
    await publisher.publish("twin", TEXT, None, BOB)
    assert backend.owners() == shop.registry.page_owners() and set(backend.owners().values()) == {BOB.scope}
    shop.close()


async def test_pages_made_again_after_a_restart_are_their_publishers(shop: Shop) -> None:
    backend = Counted(shop.backend.disk)
    await over(shop, backend).publish("rules", TEXT, "private", ALICE)
    owners = backend.owners()
    backend.lose(set(owners))
    again = shop.reopen()
    publisher = over(again, backend)
    await publisher.restore()
    await publisher.refresh()
    assert backend.owners() == owners == again.registry.page_owners() != {}
    again.close()
    shop.close()


async def test_every_call_about_a_document_names_its_publisher(shop: Shop) -> None:
    """A fleet of strict isolation keeps a document for its publisher's tenant, and finds it by that name."""
    backend, ref = Counted(shop.backend.disk), DocumentRef("rules", 1)
    publisher = over(shop, backend)
    await publisher.publish("rules", TEXT, "public", BOB, pinned=True)
    await publisher.residency.warm(ref, BOB)
    await publisher.quarantine.confine({ref: "page 1 differs"})
    await publisher.publish("rules", TEXT, "public", BOB)
    again = shop.reopen()
    after = over(again, backend)
    await after.restore()
    await after.refresh()
    await after.residency.unpin(ref, BOB)
    await after.residency.pin(ref, BOB, partial=True)
    await after.delete(ref, BOB)
    assert {call: set(owners) for call, owners in backend.told.items()} == {
        call: {BOB.scope} for call in ("pin", "known", "in_memory", "forget")
    }
    again.close()
    shop.close()
