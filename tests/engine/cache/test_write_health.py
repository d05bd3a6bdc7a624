from __future__ import annotations

import logging

import pytest

from kvproxy.engine.cache.write_health import RETRY_S, WriteHealth


def state(health: WriteHealth) -> tuple[bool, bool]:
    """Whether it may write, and whether it fails."""
    return health.may_write(), health.failing


def test_one_line_when_it_stops_and_one_when_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    health = WriteHealth("pages are kept in memory alone", clock=lambda: now[0])
    assert state(health) == (True, False)
    with caplog.at_level(logging.INFO):
        health.wrote()
        assert caplog.records == []
        for _ in range(5):
            health.failed(OSError("No space left on device"))
        assert [r.levelname for r in caplog.records] == ["WARNING"] and "No space left" in caplog.text
        assert state(health) == (False, True) and health.failures == 5
        now[0] += RETRY_S
        assert state(health) == (True, True)
        health.failed(OSError("No space left on device"))
        assert state(health) == (False, True) and len(caplog.records) == 1
        now[0] += RETRY_S
        health.wrote()
        assert state(health) == (True, False) and health.failures == 6
        health.wrote()
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]
