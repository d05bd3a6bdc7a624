"""The figures of ``/metrics``, collected from the components themselves."""

from __future__ import annotations

from pathlib import Path

from kvproxy.core import ANONYMOUS
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.stack.figures import collect_figures, page_figures
from kvproxy.telemetry.engine_series import COUNTED, GAUGED
from kvproxy.telemetry.metrics import HELP, Figures, Metrics
from tests.document_files.conftest import small, texts
from tests.document_files.hosts import TEXT
from tests.stack.small_stack import SmallStack, open_small_stack

__all__ = ["small", "texts"]


def figures_of(stack: SmallStack) -> Figures:
    return collect_figures(stack.engine.local, stack.documents.library, stack.auditor, stack.stores.pages)


async def test_figures_follow_what_happens(small: TileModel, texts: Path, tmp_path: Path) -> None:
    async with open_small_stack(tmp_path, small, texts) as stack:
        empty = figures_of(stack)
        assert (empty.running, empty.waiting, empty.quarantined) == (0, 0, 0)
        assert empty.pages == {"free": 40, "used": 0, "evictable": 0}
        published = await stack.documents.publisher.publish(
            "handbook", TEXT, "public", ANONYMOUS, pinned=True
        )
        kept = sum(-(-framing.tokens // 256) for framing in published.info.framings)
        pinned = figures_of(stack)
        assert pinned.pages == {"free": 40 - kept, "used": kept, "evictable": 0}
        assert pinned.gauges["pinned_pages"] == kept > 0
        ref = stack.documents.publisher.current_ref("handbook", ANONYMOUS)
        await stack.documents.publisher.residency.unpin(ref, ANONYMOUS)
        free = figures_of(stack)
        assert free.pages == {"free": 40 - kept, "used": 0, "evictable": kept}
        assert free.gauges["pinned_pages"] == 0
        await stack.documents.publisher.quarantine.confine({ref: "a page differs"})
        assert figures_of(stack).quarantined == 1


async def test_a_disk_that_refuses_pages_is_seen(small: TileModel, texts: Path, tmp_path: Path) -> None:
    async with open_small_stack(tmp_path, small, texts) as stack:
        before = figures_of(stack)
        assert (before.gauges["store_refuses_pages"], before.gauges["spill_refuses_pages"]) == (0, 0)
        stored, spilled = stack.engine.local.write_health
        assert spilled is not None
        for health in (stored, spilled, spilled):
            health.failed(OSError("no space left"))
        after = figures_of(stack)
        assert after.counters["page_write_failures"] == before.counters["page_write_failures"] + 3
        assert (after.gauges["store_refuses_pages"], after.gauges["spill_refuses_pages"]) == (1, 1)


async def test_without_a_spill_folder_there_is_none_to_refuse(
    small: TileModel, texts: Path, tmp_path: Path
) -> None:
    async with open_small_stack(tmp_path, small, texts, **{"store.spill_max_size": 0}) as stack:
        assert stack.engine.local.write_health[1] is None
        seen = figures_of(stack)
        assert (seen.gauges["spill_refuses_pages"], seen.counters["page_write_failures"]) == (0, 0)


async def test_every_figure_has_its_words(small: TileModel, texts: Path, tmp_path: Path) -> None:
    objects = {"store.objects.url": f"file://{tmp_path / 'objects'}"}
    async with open_small_stack(tmp_path, small, texts, **objects) as stack:
        await stack.documents.publisher.publish("handbook", TEXT, "public", ANONYMOUS)
        seen = figures_of(stack)
        assert (set(seen.counters), set(seen.gauges)) == (set(COUNTED), set(GAUGED))
        metrics = Metrics()
        metrics.follow(lambda: figures_of(stack))
        text = metrics.text().decode()
        assert f'kvproxy_kv_pages{{state="free"}} {float(seen.pages["free"])}' in text
        for name in HELP:
            assert f"# HELP kvproxy_{name}" in text


def test_without_stored_pages_there_are_no_figures_of_them() -> None:
    assert page_figures(None) == ({}, {})
