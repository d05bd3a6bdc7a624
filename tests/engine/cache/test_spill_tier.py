from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_costs import PageCosts, PageWork
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex
from kvproxy.engine.cache.spill_tier import PENDING, SpillTier
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_results import Loaded, Missing
from kvproxy.store.spill_files import SpillFolder
from tests.engine.cache.test_page_costs import timed
from tests.engine.harness import EngineHarness, HarnessMaker
from tests.engine.spill_files import MemoryFiles
from tests.engine.tiny import prompt

SHAPE = PageShape(layers=1, kv_heads=1, head_dim=2, dtype=torch.float32)


class Home:
    """A cache of ``pages`` pages above a tier of ``room``."""

    def __init__(self, pages: int, room: int) -> None:
        self.files = MemoryFiles(room, SHAPE.bytes)
        costs = PageCosts(PageWork(linear=1e12, attention=0.0), SHAPE.bytes, spills=True)
        pool = PagePool(SHAPE, pages + 1, torch.device("cpu"))
        self.cache = KVCache(pool, PrefixIndex(root_key("test")), costs)
        self.costs = costs
        self.spill: SpillTier = self.cache.spill_into(self.files, self.files.calls.append)

    def keep(self, *firsts: int) -> list[Node]:
        """Register a chain of full pages, one for each number, which fills the page too."""
        assert self.cache.reserve(len(firsts))
        pages: list[int] = []
        nodes: list[Node] = []
        for first in firsts:
            pages.append(self.cache.take(None))
            self.cache.pool.write(pages[-1], payload(first))
            node = self.cache.register("a", nodes[-1] if nodes else None, (first,) * PAGE_TOKENS, pages[-1])
            assert node is not None
            nodes.append(node)
        self.cache.return_pages(pages)
        return nodes

    def press(self, pages: int) -> None:
        """Take and give back so many pages."""
        assert self.cache.reserve(pages)
        self.cache.return_pages([self.cache.take(None) for _ in range(pages)])
        assert self.cache.check([]) == []

    def written(self) -> None:
        """Until the tier's thread has done all that was asked of it; then hear of it."""
        self.spill._writer.submit(lambda: None).result(10)
        self.files.pump()

    def read(self, node: Node) -> bytes:
        result = self.spill.reader(node)(None)
        assert isinstance(result, Loaded), result
        return bytes(result.payload)


def all_written(rig: EngineHarness) -> bool:
    assert rig.engine.spill is not None
    return rig.engine.spill.pending == 0


def payload(first: int) -> bytes:
    return bytes([first]) * SHAPE.bytes


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home(pages=3, room=4)
    yield home
    home.files.go.set()
    home.spill.close()
    assert home.files.files == {} and home.files.cleared > 0


def test_an_evicted_page_stays_known_and_is_what_it_was(home: Home) -> None:
    nodes = home.keep(1, 2)
    home.files.go.clear()
    home.press(3)
    assert [n.page for n in nodes] == [None, None] and all(n.spilled for n in nodes)
    assert [home.read(n) for n in nodes] == [payload(1), payload(2)], "from memory, until it is written"
    home.files.go.set()
    home.written()
    assert len(home.files.files) == 2
    assert [home.read(n) for n in nodes] == [payload(1), payload(2)]
    assert home.cache.match((1,) * PAGE_TOKENS + (2,) * 99, ["a"], 300).tokens == 300


def test_what_was_read_before_it_was_written_does_not_change_with_its_buffer(home: Home) -> None:
    (node,) = home.keep(1)
    home.press(3)
    early = home.spill.reader(node)
    home.written()
    home.keep(2)
    home.press(3)  # into the buffer that the first page had
    result = early(None)
    assert isinstance(result, Loaded) and bytes(result.payload) == payload(1)


def test_a_page_that_came_back_is_not_written_again(home: Home) -> None:
    (node,) = home.keep(1)
    home.press(3)
    home.written()
    names = set(home.files.files)
    assert home.cache.reserve(1)
    page = home.cache.take(None)
    home.cache.pool.write(page, home.read(node))
    assert home.cache.attach_loaded(node, page)
    home.press(3)
    home.written()
    assert node.page is None and set(home.files.files) == names


def test_a_full_tier_drops_what_left_memory_first_and_leaves_before_roots(home: Home) -> None:
    old = home.keep(1, 2, 3)
    home.press(3)
    home.written()
    new = home.keep(4, 5)
    home.press(3)
    home.written()
    assert [n.spilled for n in old] == [True, True, False]
    assert all(n.spilled for n in new) and len(home.files.files) == 4
    assert not home.cache.index.has(old[2])


def test_a_page_that_is_being_read_stays_in_a_full_tier(home: Home) -> None:
    (reading,) = home.keep(1)
    home.press(3)
    home.cache.retain([reading])
    for first in range(2, 8):
        home.keep(first)
        home.press(3)
        home.written()
    assert reading.spilled and home.read(reading) == payload(1)
    home.cache.release([reading])


def test_with_too_many_waiting_a_page_is_dropped() -> None:
    home = Home(pages=PENDING + 3, room=100)
    home.files.go.clear()
    nodes = [home.keep(first)[0] for first in range(1, PENDING + 4)]
    home.press(PENDING + 3)
    assert sum(n.spilled for n in nodes) == PENDING
    assert len(home.cache.index) == PENDING
    home.files.go.set()
    home.written()
    assert home.cache.check([]) == []
    home.spill.close()


def test_a_full_disk_loses_pages_and_is_left_alone_for_a_while(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home.files.error = OSError(28, "No space left on device")
    parent, child = home.keep(1, 2)
    home.press(3)
    assert parent.spilled and child.spilled
    home.written()
    assert len(home.cache.index) == len(home.spill) == 0
    assert caplog.text.count("dropped, not spilled") == 1
    home.files.error = None
    (node,) = home.keep(3)
    home.press(3)
    assert not node.spilled
    monkeypatch.setattr(home.spill.health, "_resumes_at", 0.0)
    (node,) = home.keep(4)
    home.press(3)
    assert node.spilled
    assert home.cache.check([]) == []


def test_a_failed_write_of_a_page_that_came_back_costs_nothing(home: Home) -> None:
    (node,) = home.keep(1)
    home.files.error = OSError("no")
    home.press(3)
    assert home.cache.reserve(1)
    page = home.cache.take(None)
    home.cache.pool.write(page, home.read(node))
    assert home.cache.attach_loaded(node, page)
    home.written()
    assert node.page == page and not node.spilled
    assert home.cache.check([]) == []


def test_a_stored_page_needs_no_copy_and_a_deleted_one_leaves_none(home: Home) -> None:
    stored, deleted = home.keep(1)[0], home.keep(2)[0]
    home.press(3)
    home.written()
    home.cache.mark_stored(stored)
    home.cache.discard(deleted)
    home.written()
    assert home.files.files == {} and home.cache.check([]) == []
    assert isinstance(home.spill.reader(deleted)(None), Missing)


def test_what_is_cheaper_to_compute_is_dropped(home: Home) -> None:
    (node,) = home.keep(1)
    timed(home.costs, 1e9)
    home.press(3)
    assert not node.spilled and len(home.cache.index) == 0


def test_spilled_pages_come_back_bit_for_bit(
    any_model: TileModel, rigs: HarnessMaker, tmp_path: Path
) -> None:
    tokens = prompt(6, 700)
    files = SpillFolder(tmp_path / "spill", max_size=2**30, packing=PagePacking(any_model.fingerprint))
    rig = rigs(any_model, spill=files)
    cold = rig.cold(tokens, max_tokens=0, score_from=640).logits
    rig.run(tokens[:650], max_tokens=0)
    rig.on_engine(lambda: rig.cache.costs.loaded(1e-9))  # tiny models compute faster than any disk reads
    rig.evict_all()
    assert rig.cache.occupancy().held == 0 and rig.cache.occupancy().spilled == 3
    hit = rig.score(tokens, 640, register=False)
    assert hit.cached == 640 and torch.equal(hit.logits, cold)
    rig.wait_for(lambda: all_written(rig))
    assert len(list((tmp_path / "spill").glob("*.page"))) == 3
    rig.evict_all()
    rig.run(prompt(7, 900), keep_until=0)  # other bits where those pages were
    hit = rig.score(tokens, 640, register=False)
    assert hit.cached == 640 and torch.equal(hit.logits, cold)
    stranger = rig.score(tokens, 640, register=False, scope="b", readable=("public", "b"))
    assert stranger.cached == 0, "a file gives nobody the right to read it"


@pytest.mark.parametrize("damage", ["torn", "flipped", "gone"])
def test_a_damaged_spilled_page_is_a_miss(
    rigs: HarnessMaker, llama: TileModel, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = prompt(6, 700)
    files = SpillFolder(tmp_path, max_size=2**30, packing=PagePacking(llama.fingerprint))
    rig = rigs(llama, spill=files)
    rig.on_engine(lambda: rig.cache.costs.loaded(1e-9))
    cold = rig.cold(tokens).answer
    rig.run(tokens)
    rig.evict_all()
    rig.wait_for(lambda: all_written(rig))
    assert len(list(tmp_path.glob("*.page"))) == 3
    for file in tmp_path.glob("*.page"):
        content = file.read_bytes()
        if damage == "torn":
            file.write_bytes(content[: len(content) // 2])
        elif damage == "flipped":
            file.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
        else:
            file.unlink()
    again = rig.run(tokens)
    assert again.cached == 0 and again.answer == cold
    assert "is not used" in caplog.text
