"""A job that retains nothing: no node, no bit of its KV and no file stay; what was kept before is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from kvproxy.engine.loop.sequence import Phase
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.spill_files import SpillFolder
from tests.engine.harness import EngineHarness, HarnessMaker
from tests.engine.tiny import make_model, prompt

NOTHING: dict[str, Any] = {"keep_until": 0, "wipe": True}


def used_pages(rig: EngineHarness) -> list[int]:
    """Pages of the pool with any bit that is not 0, whoever holds them."""

    def look() -> list[int]:
        pool = rig.cache.pool
        return [page for page in range(1, pool.total + 1) if any(pool.read(page))]

    return rig.on_engine(look)


def test_nothing_is_left_in_index_and_pool(rigs: HarnessMaker) -> None:
    rig = rigs()
    first = rig.run(prompt(1, 700), max_tokens=6, **NOTHING)
    assert (used_pages(rig), rig.cache.occupancy().held) == ([], 0)
    assert not rig.cache.seen(prompt(1, 700), ("public", "a"))
    again = rig.run(prompt(1, 700), max_tokens=6, **NOTHING)
    assert (again.cached, again.answer) == (0, first.answer)
    assert first.finished is not None and first.finished.usage.cache_write_tokens == 0


def test_what_was_kept_before_is_read_and_stays_as_it_is(rigs: HarnessMaker) -> None:
    rig = rigs()
    rig.run(prompt(1, 600), max_tokens=0, scope="public")
    before = used_pages(rig)
    reader = rig.run((*prompt(1, 600), *prompt(2, 300)), **NOTHING)
    assert reader.cached == 600
    assert used_pages(rig) == before
    assert rig.run((*prompt(1, 600), *prompt(2, 300))).cached == 600


def test_nobody_follows_its_prefill(rigs: HarnessMaker) -> None:
    rig = rigs()
    private = rig.submit(prompt(1, 1500), **NOTHING)
    follower = rig.submit((*prompt(1, 1500), 5))
    assert follower.end().cached == 0
    private.end()


def test_a_cancelled_one_leaves_nothing_either(rigs: HarnessMaker) -> None:
    rig = rigs()
    stream = rig.submit(prompt(1, 700), max_tokens=1000, **NOTHING)
    stream.begin()
    rig.engine.cancel(stream.sequence)
    rig.wait_for(lambda: stream.sequence.phase is Phase.ENDED)
    assert (used_pages(rig), rig.cache.occupancy().held) == ([], 0)


def test_nothing_of_it_is_spilled_under_pressure(rigs: HarnessMaker, tmp_path: Path) -> None:
    model = make_model("llama", torch.float32)
    packing = PagePacking(model.fingerprint, model.page_shape.form)
    spill = SpillFolder(tmp_path / "spill", max_size=2**30, packing=packing)
    rig = rigs(model, pages=8, spill=spill)
    rig.run(prompt(1, 700), **NOTHING)
    rig.evict_all()
    rig.settle()
    assert list((tmp_path / "spill").iterdir()) == []
    rig.run(prompt(2, 700))
    rig.evict_all()
    rig.wait_for(lambda: len(list((tmp_path / "spill").iterdir())) == 3)


def test_its_bits_are_those_of_any_other(rigs: HarnessMaker) -> None:
    rig = rigs()
    private = rig.run(prompt(3, 500), max_tokens=8, score_from=0, **NOTHING)
    public = rig.run(prompt(3, 500), max_tokens=8, score_from=0)
    assert public.cached == 0
    assert torch.equal(private.logits.view(torch.int32), public.logits.view(torch.int32))
