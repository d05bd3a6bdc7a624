"""Check and repair beside a running proxy: pages are dropped and computed again, and others go on being served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kvproxy.documents.registry.registry_losses import file_set_aside
from kvproxy.store.page_results import Loaded, Missing, Rejected
from kvproxy.store.page_store import PageStore
from kvproxy.upkeep.live_upkeep import LiveParts, LiveUpkeep
from tests.documents.registry.own_registry import OwnRegistry
from tests.store.killed_worker import TOKENS, document, framing, owner_of, payload_of, stored_keys
from tests.upkeep.filled_store import FilledStore


@dataclass
class Live:
    store: FilledStore
    pages: PageStore
    registry: OwnRegistry
    upkeep: LiveUpkeep = field(init=False)
    memory: list[str] = field(default_factory=list)

    async def recompute(self) -> int:
        """Compute what is missing, as the publisher's restoration does."""
        number = 0
        for entry in self.registry.load():
            for key in stored_keys(entry.document.id, entry.document.version):
                if not self.pages.has(key):
                    self.pages.put(key, b"", TOKENS, payload_of(key), entry.document.owner_scope)
                    number += 1
        return number

    async def engine(self) -> list[str]:
        return self.memory


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    # A thread: the stored responses of the store have a loop of their own while it is filled.
    store = await asyncio.to_thread(FilledStore.make, tmp_path / "kv")
    with store.open() as (pages, registry), store.responses() as responses:
        made = Live(store, pages, registry)
        parts = LiveParts(
            store.folder, registry, pages, responses, lambda: {"keys": []}, made.engine, made.recompute
        )
        made.upkeep = LiveUpkeep(parts)
        yield made


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


async def test_a_sound_store_while_it_is_in_use(live: Live) -> None:
    found = await live.upkeep.check(deep=True)
    assert found.sound and found.looked["pages read"] == 24
    done = await live.upkeep.repair()
    assert (done.mended, done.left) == ((), ())


async def test_a_damaged_page_is_dropped_and_computed_again(live: Live) -> None:
    flip(live.store.page("doc1", 1))
    found = await live.upkeep.check()
    assert found.bad_pages == (stored_keys("doc1", 1)[0],)
    assert live.pages.has(found.bad_pages[0]), "a check changes nothing"
    done = await live.upkeep.repair()
    assert len(done.mended) == 1 and done.left == ()
    assert "1 prefixes are computed again in the background" in done.notes
    page = live.pages.get(found.bad_pages[0], b"", TOKENS)
    assert isinstance(page, Loaded) and bytes(page.payload) == payload_of(found.bad_pages[0])


async def test_what_is_being_written_is_no_fault(live: Live) -> None:
    key = stored_keys("doc9", 1)[0]
    live.pages.put(key, b"", TOKENS, payload_of(key), "tenant:9")
    part = live.store.folder / "pages" / "ab" / f"{'cd' * 31}.part"
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"half of a page")
    found = await live.upkeep.check(deep=True)
    assert found.sound and found.notes == ("1 pages belong to no document; they make room first",)
    await live.upkeep.repair()
    assert live.pages.has(key), "its publish may be about to end"


async def test_a_publish_and_reads_go_on_meanwhile(live: Live) -> None:
    async def publish() -> None:
        for version in (3, 4, 5):
            for key in stored_keys("doc2", version):
                await asyncio.to_thread(live.pages.put, key, b"", TOKENS, payload_of(key), owner_of("doc2"))
            await asyncio.to_thread(
                live.registry.publish, document("doc2", version), [framing("doc2", version)]
            )

    found, _ = await asyncio.gather(live.upkeep.check(deep=True), publish())
    assert found.sound
    assert (await live.upkeep.check(deep=True)).looked["documents"] == 11


async def test_an_alias_of_nothing_and_faults_in_memory(live: Live) -> None:
    live.registry.set_alias("doc0", "old", 9)
    live.memory = ["page 3 has 2 holders, 1 is counted"]
    done = await live.upkeep.repair()
    assert [a.alias for a in live.registry.aliases()] == ["stable"]
    assert [fault.line for fault in done.left] == [
        "pages: in memory: page 3 has 2 holders, 1 is counted (look)"
    ]


async def test_a_repair_leaves_no_page_that_is_wrong_for_a_reader_in_between(live: Live) -> None:
    flip(live.store.page("doc3", 2))
    key = stored_keys("doc3", 2)[0]
    assert isinstance(live.pages.get(key, b"", TOKENS), Rejected)
    assert isinstance(live.pages.get(key, b"", TOKENS), Missing), "its first reader has dropped it already"
    done = await live.upkeep.repair()
    assert done.left == () and isinstance(live.pages.get(key, b"", TOKENS), Loaded)


async def test_the_last_check_is_remembered(live: Live) -> None:
    before = live.upkeep.last
    assert before is None and not live.upkeep.running
    flip(live.store.page("doc1", 1))
    found = await live.upkeep.check(deep=True)
    last = live.upkeep.last
    assert last is not None and last.found == found and last.deep and last.seconds > 0
    await live.upkeep.repair()
    assert live.upkeep.last is not None and live.upkeep.last.found.sound


async def test_reports_of_damage_are_read_from_the_store(live: Live) -> None:
    assert live.upkeep.damage_reports() == []
    file_set_aside(live.store.folder / "documents", ["doc9@1 is not served: damaged"])
    (line,) = live.upkeep.damage_reports()
    assert line.endswith(": doc9@1 is not served: damaged")
