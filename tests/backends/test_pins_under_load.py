"""Pinning while requests run, and what is told of a kept prefix that is on disk or gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kvproxy.core import PUBLIC, Kept, documents_scope
from kvproxy.errors import Overloaded
from tests.backends.embedded.backend_home import ANN, BOB, DOCUMENT, Home, home, model, vocabulary

__all__ = ["home", "model", "vocabulary"]


@pytest.mark.parametrize("busy", [2, 99])
async def test_pages_reserved_to_requests_that_run_are_waited_for_a_while(
    home: Home, monkeypatch: pytest.MonkeyPatch, busy: int
) -> None:
    """It is no refusal that another document's unpinning would change: 429, not 400."""
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    cache, keep = home.rig.cache, home.backend.keep
    reserved: list[int] = []

    def promise() -> None:
        """All pages, between the document's coming into memory and its being pinned."""
        if len(reserved) < busy:
            seen = cache.occupancy()
            assert cache.reserve(seen.free + seen.evictable)
            reserved.append(seen.free + seen.evictable)

    async def keep_and_promise(*args: Any) -> Kept:
        if reserved:
            home.rig.on_engine(lambda: cache.unreserve(reserved[-1]))
        await keep(*args)
        home.rig.on_engine(promise)
        return kept

    monkeypatch.setattr(home.backend, "keep", keep_and_promise)
    monkeypatch.setattr("kvproxy.backends.embedded.local_backend._PIN_PAUSES_S", (0.0,) * 4)
    if busy == 2:
        release = await home.backend.pin(kept, PUBLIC)
        assert len(reserved) == 2 and home.backend.occupancy().pinned == 3
        await release()
        return
    with pytest.raises(Overloaded, match="reserved the memory") as caught:
        await home.backend.pin(kept, PUBLIC)
    assert (caught.value.http_status, caught.value.retry_after_s) == (429, 5)
    assert len(reserved) == 4 and home.backend.occupancy().pinned == 0
    home.rig.on_engine(lambda: cache.unreserve(reserved[-1]))


async def test_what_figures_say_is_resident_is_what_a_reader_finds(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    assert home.backend.resident(kept, BOB) == 600
    await asyncio.to_thread(home.rig.evict_all)
    assert home.backend.resident(kept, BOB) == 600, "on disk"
    await home.backend.forget(kept, PUBLIC, frozenset())
    assert home.backend.resident(kept, BOB) == 0
    await home.backend.keep(DOCUMENT[:300], documents_scope(ANN.scope))
    assert (home.backend.resident(kept, ANN), home.backend.resident(kept, BOB)) == (300, 0)
