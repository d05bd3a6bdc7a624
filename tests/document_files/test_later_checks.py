"""Pages that no sample had are computed again afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from kvproxy.core import DocumentRef
from kvproxy.document_files.page_sample import page_sample
from kvproxy.engine.forward.tile_model import TileModel
from tests.document_files.hosts import (
    BOB,
    Exported,
    Host,
    chunks_of,
    open_host,
    poisoned,
)
from tests.document_files.refusals import PRIVATE


async def test_what_no_sample_found_is_found_afterwards_and_confined(
    importer: Host, exported: Exported, caplog: pytest.LogCaptureFixture
) -> None:
    """The last layer of a page is in no other page: only computing the page itself again shows it."""
    file = poisoned(exported, 0, 1)
    taking = importer.importer(exported.trusted, share=0.0, seed=unlucky(exported, 0, 1))
    imported = await taking.take_in(chunks_of(file), PRIVATE, BOB)
    assert (imported.pages, imported.checked) == (6, 4)
    ref = DocumentRef("handbook", 1, BOB.scope)
    task = asyncio.create_task(taking.later.run())
    for _ in range(200):
        known = importer.library.find(ref)
        if known is not None and known.quarantined:
            break
        await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.wait([task])
    assert known is not None and known.quarantined is not None
    assert known.quarantined.startswith("page 1 differs from a prefill from position 511 on")
    assert "was imported with a wrong page" in caplog.text
    assert importer.store.usage().pages == 0, "its pages are dropped, and its readers are prefilled"


async def test_the_rest_of_the_pages_is_checked_afterwards_and_after_a_restart(
    exported: Exported, small: TileModel, texts: Path, tmp_path: Path
) -> None:
    async with open_host(tmp_path / "b", "b.example", small, texts) as host:
        await host.take(exported.file, exported.trusted)
        signed = await host.manifest()
        assert signed.manifest.source is not None
        assert (signed.manifest.source.pages, signed.manifest.source.checked) == (6, 4)
    async with open_host(tmp_path / "b", "b.example", small, texts) as host:
        await host.publisher.restore()
        task = asyncio.create_task(host.importer(exported.trusted).later.run())
        for _ in range(200):
            signed = await host.manifest()
            if signed.manifest.source is not None and signed.manifest.source.checked == 6:
                break
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
    assert signed.manifest.source is not None and signed.manifest.source.checked == 6


def unlucky(exported: Exported, framing: int, index: int) -> int:
    """A seed of the sample that leaves a page out."""
    lengths = [len(f["pages"]) for f in exported.claims["framings"]]
    for seed in range(100):
        random = Random(seed)
        if index not in [page_sample(n, 0.0, random) for n in lengths][framing]:
            return seed
    raise AssertionError("no such seed")
