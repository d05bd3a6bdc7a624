"""Waiting of OpenMP's threads: bounded unless the user says otherwise, and before torch is there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kvproxy.runtime import openmp_waiting
from kvproxy.runtime.openmp_waiting import SPINS, bound_waiting


def test_a_bound_is_set_unless_the_user_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    empty: dict[str, str] = {}
    assert bound_waiting(empty)
    assert empty == {SPINS: openmp_waiting._BOUND}
    for own in ({SPINS: "7"}, {"OMP_WAIT_POLICY": "active"}):
        kept = dict(own)
        assert bound_waiting(kept)
        assert kept == own


def test_a_torch_that_is_there_already_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    empty: dict[str, str] = {}
    assert not bound_waiting(empty)
    assert empty == {}


@pytest.mark.parametrize("first", ["kvproxy.engine", "kvproxy.bench.engine"])
def test_packages_that_import_torch_set_it_first(first: str) -> None:
    program = f"import os, sys, {first}; print(os.environ.get('{SPINS}'), 'torch' in sys.modules)"
    own = {k: v for k, v in os.environ.items() if k not in {SPINS, *openmp_waiting.OTHERS}}
    run = subprocess.run([sys.executable, "-c", program], env=own, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [openmp_waiting._BOUND, "False"]
