"""Cancelled requests give their rows and pages back at the next step."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.engine.loop.sequence import Phase
from tests.engine.harness import EngineHarness, HarnessMaker, HeldDisk
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import prompt


class TestCancellation:
    @pytest.mark.parametrize("phase", [Phase.WAITING, Phase.PREFILL, Phase.DECODE, Phase.FOLLOWING])
    def test_pages_are_free_at_the_next_step(
        self, rigs: HarnessMaker, stepped: SteppedModel, phase: Phase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stepped, "delay_s", 0.02)  # A phase lasts until the test looks.
        rig = rigs(stepped.model, pages=16, max_running=1 if phase is Phase.WAITING else 8)
        fields: dict[str, Any] = {"register": False} if phase is not Phase.FOLLOWING else {}
        other = rig.submit(prompt(1, 1200), max_tokens=300, **fields)
        stream = rig.submit(prompt(1, 1200), max_tokens=300, **fields)
        if phase is Phase.DECODE:
            stream.begin()
        rig.wait_for(lambda: stream.sequence.phase is phase)
        rig.engine.cancel(stream.sequence)
        rig.wait_for(lambda: stream.sequence.phase is Phase.ENDED)
        assert stream.sequence.pages == [] and stream.sequence.reserved == 0
        rig.engine.cancel(other.sequence)
        rig.wait_for(rig.idle)
        rig.check()

    def test_a_request_is_cancelled_while_its_pages_load(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk()
        rig = rigs(store=disk)
        tokens = prompt(1, 600)
        rig.run(tokens, max_tokens=0, persist=True)
        rig.evict_all()
        disk.gate.clear()
        stream = rig.submit((*tokens, 1))
        rig.wait_for(lambda: stream.sequence.phase is Phase.LOADING)
        rig.engine.cancel(stream.sequence)
        rig.wait_for(
            lambda: rig.cache.occupancy().held <= 2
        )  # what two threads are reading cannot be taken from them
        disk.gate.set()
        rig.wait_for(lambda: rig.cache.occupancy().held == rig.cache.occupancy().evictable)
        rig.check()
        assert rig.run((*tokens, 1)).cached == 600

    def test_a_publication_is_cancelled_while_its_pages_are_written(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk()
        rig = rigs(store=disk)
        disk.gate.clear()
        stream = rig.submit(prompt(1, 600), max_tokens=0, persist=True)
        rig.wait_for(lambda: stream.sequence.phase is Phase.PERSISTING)
        rig.engine.cancel(stream.sequence)
        rig.wait_for(lambda: stream.sequence.phase is Phase.ENDED)
        disk.gate.set()
        rig.wait_for(lambda: len(disk.written) == 3 and rig.cache.occupancy().evictable == 3)

    def test_cancelling_twice_or_after_the_end_does_nothing(self, rig: EngineHarness) -> None:
        stream = rig.run(prompt(1, 50))
        rig.engine.cancel(stream.sequence)
        rig.engine.cancel(stream.sequence)
        assert rig.run(prompt(1, 50)).error is None
