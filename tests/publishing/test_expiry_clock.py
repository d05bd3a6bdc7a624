from __future__ import annotations

from kvproxy.publishing.expiry_clock import SETTLE_S, ExpiryClock


class Times:
    """A wall clock and a monotonic one, both moved by hand."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_000_000.0, 50.0
        self.clock = ExpiryClock(lambda: self.wall, lambda: self.monotonic)

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


def test_time_passes() -> None:
    times = Times()
    times.wait(SETTLE_S + 10)
    assert times.clock.ended_by() == times.clock.deleted_by() == times.wall


def test_a_jump_back_resurrects_nothing_and_a_jump_forward_deletes_nothing() -> None:
    times = Times()
    times.wait(SETTLE_S)
    now = times.wall
    times.wall = now - 86_400
    assert times.clock.ended_by() == now and times.clock.deleted_by() == now - 86_400
    times.wall = now + 86_400
    assert times.clock.ended_by() == now + 86_400 and times.clock.deleted_by() == now


def test_nothing_is_deleted_soon_after_the_start() -> None:
    times = Times()
    times.wait(SETTLE_S - 1)
    assert times.clock.deleted_by() == 0.0 and times.clock.ended_by() == times.wall
