"""Figures of a fleet: those of one moment, each in its own place, and unchanged while the fleet goes on."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest

from kvproxy.backends.fleet.fleet_figures import FleetFigures, ReplicaFigures
from tests.backends.fleet.conftest import OpenRig
from tests.backends.fleet.fleet_requests import a_generation, answer_of
from tests.server.doubles import eventually

PROMPT = tuple(range(100, 300))
BLOCK = 16
"""Tokens of a block of the fake replicas."""
WHOLE = len(PROMPT) // BLOCK
"""Whole blocks of the prompt."""


async def test_each_figure_stands_in_its_own_place(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        for _ in range(3):
            await answer_of(fleet.backend, a_generation(PROMPT))
        # The answers are there before the replica's events are, which say on which tier the blocks lie.
        await eventually(lambda: "unknown" not in fleet.backend.figures().replicas[0].resident_tokens)
        found = fleet.backend.figures()
    (one,) = found.replicas
    assert (found.model, found.blocks, found.retries) == ("fleet", WHOLE, {})
    assert found.broken_streams == found.warmed == found.warm_queue == found.overruled == 0
    assert (one.name, one.up, one.state) == ("a", True, "up")
    assert one.running == one.queued_tokens == one.event_gaps == 0, "all have ended"
    assert one.prefill_tokens_per_s > 0
    assert one.block_tokens == BLOCK and one.resident_tokens == {"device": WHOLE * BLOCK}
    assert (one.answers, one.hits) == (3, 2)
    assert (one.prompt_tokens, one.cached_tokens) == (3 * len(PROMPT), 2 * WHOLE * BLOCK)
    assert one.version and one.version in one.fingerprint


async def test_a_replica_that_was_asked_nothing_has_figures_too(rig: OpenRig) -> None:
    async with rig(2) as fleet:
        found = fleet.backend.figures()
    assert [one.name for one in found.replicas] == ["a", "b"]
    for one in found.replicas:
        assert one.up and one.answers == one.prompt_tokens == 0 and one.resident_tokens == {}
        assert one.prefill_tokens_per_s == 0.0, "a speed that was assumed is not one that was measured"
        assert one.event_lag_s is None, "unknown, and not none at all"


async def test_figures_stay_as_they_were_while_the_fleet_goes_on(rig: OpenRig) -> None:
    async with rig(2) as fleet:
        await answer_of(fleet.backend, a_generation(PROMPT))
        before = fleet.backend.figures()
        as_it_was = deepcopy(asdict(before))
        (busy,) = (one.name for one in before.replicas if one.answers)
        fleet[busy].faults.change({"fail_status": 500})
        await answer_of(fleet.backend, a_generation(PROMPT))
        after = fleet.backend.figures()
    assert asdict(before) == as_it_was
    assert sum(after.retries.values()) == 1 and before.retries == {}
    failed, other = sorted(after.replicas, key=lambda one: one.name != busy)
    assert (failed.up, other.up) == (False, True) and failed.state != "up"
    assert (failed.answers, other.answers) == (1, 1), "a failure is no answer"
    assert set(after.retries) <= {"down", "busy", "misconfigured", "broke-off"}


@pytest.mark.parametrize("made", [lambda: FleetFigures("m"), lambda: ReplicaFigures("a", True, "up")])
def test_nobody_changes_figures_for_other_readers(made: Callable[[], Any]) -> None:
    one, other = made(), made()
    mappings = [name for name, value in asdict(one).items() if isinstance(value, dict)]
    assert len(mappings) == 1
    assert getattr(one, mappings[0]) is not getattr(other, mappings[0]), "each has a mapping of its own"
    with pytest.raises(FrozenInstanceError):
        setattr(one, mappings[0], {"down": 1})
    assert one == other
