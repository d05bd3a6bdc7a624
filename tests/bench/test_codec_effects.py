"""int8 changes what a reader gets, and pages are as they were afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.bench.codec_effects import Reading, int8_effect
from kvproxy.bench.engine.driver import Rig, open_rig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("models")
    with open_rig("shape:tiny", tokens=4096, cache_dir=folder) as rig:
        yield rig
        assert rig.check() == []


def test_int8_is_measured_behind_the_pages_and_undone(rig: Rig) -> None:
    ids = rig.prompt(600, seed=3)
    rig.run(ids, max_tokens=0)
    before = rig.kv(ids[:512])
    head, channel = int8_effect(rig, Reading(ids, 512))
    assert (head["scale"], channel["scale"]) == ("head", "channel")
    assert 1.9 < channel["ratio"] < head["ratio"] <= 2.0
    assert head["positions"] == channel["positions"] == 88
    assert head["largest_difference"] > 0
    assert rig.kv(ids[:512]) == before
