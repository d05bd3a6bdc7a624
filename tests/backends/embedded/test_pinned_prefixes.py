"""Pinned prefixes stay in memory until they are released, within their share of the page budget."""

from __future__ import annotations

import asyncio

import pytest

from kvproxy.backends.base import PagesFound
from kvproxy.core import PUBLIC, Prompt
from kvproxy.errors import CannotFit
from tests.backends.embedded.backend_home import (
    ASKED,
    BOB,
    DOCUMENT,
    Home,
    events_of,
    generation,
    home,
    model,
    vocabulary,
)
from tests.engine.tiny import prompt

__all__ = ["home", "model", "vocabulary"]


async def test_a_pinned_prefix_outlasts_any_pressure_until_it_is_released(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    room = home.backend.pin_room()
    release = await home.backend.pin(kept, PUBLIC)
    assert home.backend.pin_room() == room - 3 and room == 16
    await asyncio.to_thread(home.rig.evict_all)
    with home.backend.hold(Prompt(ASKED), BOB) as lookup:
        assert isinstance(lookup, PagesFound) and (lookup.tokens, lookup.on_disk) == (600, 0)
    await release()
    assert home.backend.pin_room() == room
    await asyncio.to_thread(home.rig.evict_all)
    with home.backend.hold(Prompt(ASKED), BOB) as lookup:
        assert isinstance(lookup, PagesFound) and lookup.on_disk == 600


async def test_pages_on_disk_are_brought_back(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    await home.restart()
    assert await home.backend.known(kept, PUBLIC) == 600
    release = await home.backend.pin(kept, PUBLIC)
    assert home.backend.occupancy().pinned == 3
    await release()


async def test_more_than_half_of_the_budget_is_refused(home: Home) -> None:
    await home.close()
    home.pages = 6
    home.open()
    first = await home.backend.keep(DOCUMENT, PUBLIC)
    second = await home.backend.keep(prompt(3, 100), PUBLIC)
    release = await home.backend.pin(first, PUBLIC)
    with pytest.raises(CannotFit, match="take 3 of the 3 pages"):
        await home.backend.pin(second, PUBLIC)
    assert home.backend.occupancy().pinned == 3
    with pytest.raises(CannotFit, match="pinned documents leave 3 of 6"):
        await events_of(home.backend, generation(prompt(4, 900)))
    assert len(await events_of(home.backend, generation(prompt(4, 700)))) > 2
    await release()
    assert len(await events_of(home.backend, generation(prompt(5, 900)))) > 2


async def test_a_forgotten_prefix_is_pinned_no_more(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    release = await home.backend.pin(kept, PUBLIC)
    await home.backend.forget(kept, PUBLIC, frozenset())
    assert home.backend.occupancy().pinned == 0
    await home.backend.keep(DOCUMENT, PUBLIC)
    await release()
    assert home.backend.occupancy().pinned == 0
