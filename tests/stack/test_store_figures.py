from __future__ import annotations

from pathlib import Path

from kvproxy.core import ANONYMOUS
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.stack.store_figures import store_state
from tests.document_files.conftest import small, texts
from tests.document_files.hosts import TEXT
from tests.stack.small_stack import open_small_stack

__all__ = ["small", "texts"]


async def test_the_tiers_of_a_store_follow_what_is_kept(
    small: TileModel, texts: Path, tmp_path: Path
) -> None:
    async with open_small_stack(tmp_path, small, texts) as stack:
        local, pages = stack.engine.local, stack.stores.pages
        memory, disk = store_state(local, pages).tiers
        assert (memory.pages, memory.size, memory.budget) == (0, 0, 40 * local.info.page_bytes)
        assert (disk.name, disk.pages, disk.size) == ("disk", 0, 0)
        published = await stack.documents.publisher.publish(
            "handbook", TEXT, "public", ANONYMOUS, pinned=True
        )
        kept = sum(-(-framing.tokens // 256) for framing in published.info.framings)
        state = store_state(local, pages)
        memory, disk = state.tiers
        assert (memory.pages, state.pinned, disk.pages) == (kept, kept, kept)
        assert memory.size == kept * local.info.page_bytes
        assert disk.size is not None and 0 < disk.size <= (disk.budget or 0)
        assert (state.evicted, state.behind, state.refusing) == (0, None, False)
