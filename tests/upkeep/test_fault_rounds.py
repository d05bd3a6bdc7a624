"""A few rounds of each fault here; ``python -m tests.upkeep.fault_rounds --rounds 1000`` for more."""

from __future__ import annotations

import os

import pytest

from tests.upkeep.fault_rounds import FAULTS, run_rounds

ROUNDS = int(os.environ.get("KVPROXY_FAULT_ROUNDS", "160"))


def test_a_round_of_each_fault() -> None:
    assert set(run_rounds(len(FAULTS), seed=1).values()) == {1}


@pytest.mark.slow
def test_many_rounds_of_each_fault() -> None:
    """20 kills of publish and delete, 20 of eviction, and 20 of each damage."""
    assert min(run_rounds(ROUNDS, seed=2).values()) >= ROUNDS // len(FAULTS)
