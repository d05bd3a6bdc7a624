"""Kept pages computed again from the pages before them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.core import PUBLIC, Prompt
from kvproxy.errors import HitLost
from tests.backends.embedded.backend_home import (
    ANN,
    ASKED,
    DOCUMENT,
    Home,
    home,
    model,
    vocabulary,
)
from tests.engine.altered_page import alter_page

__all__ = ["home", "model", "vocabulary"]


async def test_pages_are_computed_again_from_the_pages_before_them(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    told: list[tuple[int, int]] = []
    got = await home.backend.recheck(kept, PUBLIC, [1, 2, 0], lambda done, total: told.append((done, total)))
    assert (got.pages, got.computed, got.bad) == (3, 600, None)
    await home.restart()
    await home.backend.known(kept, PUBLIC)
    got = await home.backend.recheck(kept, PUBLIC, [2])
    assert (got.pages, got.computed, got.bad) == (1, 88, None), "only what is asked for is computed"
    assert told[-1] == (600, 600)
    after = home.backend.occupancy()
    assert (after.nodes, after.held) == (3, after.evictable), "nothing is left behind"


async def test_a_wrong_page_is_found_in_itself_and_in_what_follows_from_it(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    with home.backend.hold(Prompt(ASKED), ANN):
        page = home.rig.cache.match(DOCUMENT, (PUBLIC,), 600).nodes[1].page or 0
        alter_page(home.rig.cache.pool, page, lambda rows: rows[:, 1, :, 7].add_(0.5))
        itself = (await home.backend.recheck(kept, PUBLIC, [0, 1])).bad
        after = (await home.backend.recheck(kept, PUBLIC, [2])).bad
        assert (await home.backend.recheck(kept, PUBLIC, [0])).bad is None
    assert itself is not None and (itself.index, itself.position) == (1, 256 + 7)
    assert itself.key == kept.pages[1].key and itself.largest_difference > 0
    # The last page was made from another one before it: computed from the wrong one it has other bits.
    assert after is not None and after.index == 2


async def test_pages_that_are_not_all_there_are_not_computed_again(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    with pytest.raises(HitLost):
        await home.backend.recheck(replace(kept, token_ids=(*DOCUMENT, 1)), PUBLIC, [0])
    with pytest.raises(HitLost):
        await home.backend.recheck(kept, "import:1", [0])
