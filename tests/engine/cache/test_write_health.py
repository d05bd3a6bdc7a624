from __future__ import annotations

import logging

import pytest

from kvproxy.engine.cache.write_health import RETRY_S, WriteHealth


def assert_failing(health: WriteHealth, failing: bool) -> None:
    assert health.failing is failing


def test_one_line_when_it_stops_and_one_when_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    health = WriteHealth("pages are kept in memory alone", clock=lambda: now[0])
    assert health.may_write()
    assert_failing(health, False)
    with caplog.at_level(logging.INFO):
        health.wrote()
        assert caplog.records == []
        for _ in range(5):
            health.failed(OSError("No space left on device"))
        assert [r.levelname for r in caplog.records] == ["WARNING"] and "No space left" in caplog.text
        assert_failing(health, True)
        assert health.failures == 5 and not health.may_write()
        now[0] += RETRY_S
        assert health.may_write()
        health.failed(OSError("No space left on device"))
        assert not health.may_write() and len(caplog.records) == 1
        now[0] += RETRY_S
        health.wrote()
        assert health.may_write() and not health.failing and health.failures == 6
        health.wrote()
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]
