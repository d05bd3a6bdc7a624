"""The tiers of media, and that events are values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from kvproxy.residency.kv_events import TIER_OF_MEDIUM, TIERS, BlocksRemoved, BlocksStored


def test_media_have_tiers_that_are_ordered_from_near_to_far() -> None:
    assert set(TIER_OF_MEDIUM.values()) | {"unknown"} == set(TIERS)
    assert TIERS.index("device") < TIERS.index("host") < TIERS.index("storage") < TIERS.index("unknown")


def test_events_are_frozen() -> None:
    event = BlocksStored((1,))
    with pytest.raises(FrozenInstanceError):
        event.parent = 3  # type: ignore[misc]  # what is refused
    assert {event, BlocksStored((1,)), BlocksRemoved((1,))} == {event, BlocksRemoved((1,))}
