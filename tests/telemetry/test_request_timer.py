"""The stopwatch of one request: named phases with their moments, waits, and the first token."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kvproxy.events import Started
from kvproxy.telemetry.request_timer import Timings


def ticking(*moments: float) -> Callable[[], float]:
    """Return a clock that shows these moments, one after another."""
    left = iter(moments)
    return lambda: next(left)


def test_a_phase_is_added_up_and_each_block_is_kept() -> None:
    clock = Timings(ticking(0, 1, 3, 5, 6, 10))
    with clock.measure("compose"):
        pass
    with pytest.raises(ValueError, match="no"), clock.measure("compose"):
        raise ValueError("no")
    assert clock.phases == [("compose", 1, 3), ("compose", 5, 6)]
    assert clock.report(Started(0, False, 0.5, 0.25, 2.0)) == {
        "compose": 3,
        "queue": 0.5,
        "load": 0.25,
        "prefill": 2.0,
        "proxy": 10,
    }


def test_waits_are_not_the_proxys() -> None:
    clock = Timings(ticking(0, 1, 4, 6, 6))
    with clock.waiting():
        pass
    assert clock.proxy_s == 3 and clock.elapsed_s == 6


def test_the_first_token_is_noted_once() -> None:
    clock = Timings(ticking(0, 2, 3))
    assert clock.first_at is None
    clock.note_first()
    clock.note_first()
    assert clock.first_at == 2
