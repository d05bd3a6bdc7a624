"""The parts that only a process with an engine has, made of an open engine."""

from __future__ import annotations

from pathlib import Path

from kvproxy.core import ANONYMOUS
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.stack.background import open_background
from kvproxy.stack.local_engine import LocalEngine
from tests.document_files.conftest import small, texts
from tests.document_files.hosts import TEXT
from tests.stack.small_stack import open_small_stack

__all__ = ["small", "texts"]


async def test_its_parts_are_of_one_model_and_store(small: TileModel, texts: Path, tmp_path: Path) -> None:
    async with open_small_stack(tmp_path, small, texts) as stack, open_background() as background:
        local = LocalEngine(stack.config, stack.model, stack.stores, stack.engine)
        publisher = stack.documents.publisher
        assert local.opened.backend is stack.engine.local and local.opened.name == "small"
        assert local.opened.fingerprint == small.fingerprint == local.opened.hosted.fingerprint
        assert local.records is stack.stores.records and local.shared_pages is None
        auditor = local.auditor(publisher)
        await publisher.publish("handbook", TEXT, "public", ANONYMOUS)
        assert local.figures(publisher.library, auditor).pages["evictable"] > 0
        assert local.exchange(stack.market, publisher).exporter is not None
        checked = await local.upkeep(stack.market, publisher, background).check(deep=False)
        assert checked.sound
