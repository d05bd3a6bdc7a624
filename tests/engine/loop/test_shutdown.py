"""Failures of a tile, and the shutdown of the engine."""

from __future__ import annotations

import threading

import pytest

from kvproxy.errors import (
    KVProxyError,
    Overloaded,
    ShuttingDown,
)
from tests.engine.harness import HarnessMaker
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import prompt


class TestFailures:
    def test_a_broken_tile_ends_its_sequences_and_the_engine_lives_on(
        self, rigs: HarnessMaker, stepped: SteppedModel, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig = rigs(stepped.model)
        stepped.hold()
        stepped.fail_at = 2
        streams = [rig.submit(prompt(i, 600), scope=f"s{i}") for i in range(3)]
        stepped.go()
        (broken,) = [s for s in streams if s.end().error is not None]
        assert isinstance(broken.error, KVProxyError) and broken.error.http_status == 500
        assert "the kernel broke" not in broken.error.message and "the kernel broke" in caplog.text
        for i, stream in enumerate(streams):
            assert stream is broken or stream.answer == rig.cold(prompt(i, 600)).answer
        assert rig.engine.alive
        good = rig.run(prompt(1, 600))
        assert good.answer == rig.cold(prompt(1, 600)).answer

    def test_stop_ends_every_sequence_with_shutting_down(
        self, rigs: HarnessMaker, stepped: SteppedModel
    ) -> None:
        rig = rigs(stepped.model, max_running=2)
        stepped.hold()
        streams = [rig.submit(prompt(i, 600)) for i in range(4)]
        stopper = threading.Thread(target=rig.engine.stop)
        stopper.start()
        stepped.go()
        for stream in streams:
            error = stream.end().error
            assert isinstance(error, ShuttingDown) and error.retry_after_s == 5
        stopper.join(20)
        assert not rig.engine.alive
        with pytest.raises(ShuttingDown):
            rig.submit(prompt(1, 10))
        with pytest.raises(ShuttingDown):
            rig.on_engine(lambda: None)
        rig.engine.stop()
        assert rig.cache.occupancy().held == rig.cache.occupancy().evictable

    def test_a_request_submitted_during_the_stop_gets_a_last_event(self, rigs: HarnessMaker) -> None:
        rig = rigs()
        rig.run(prompt(1, 10))
        stopper = threading.Thread(target=rig.engine.stop)
        came = []
        stopper.start()
        while True:
            try:
                came.append(rig.submit(prompt(1, 300), max_tokens=50))
            except (ShuttingDown, Overloaded) as e:
                if isinstance(e, ShuttingDown):
                    break
        stopper.join(20)
        for stream in came:
            stream.end()
