from __future__ import annotations

import pytest

from kvproxy.dashboard.views.fleet_view import COLUMNS, SHADES, DocumentShares, fleet_view, shade_of
from kvproxy.telemetry.fleet_series import FleetSeries, ReplicaSeries


def replica(name: str, *, up: bool = True, state: str = "up", **counts: int) -> ReplicaSeries:
    return ReplicaSeries(name, up, state=state, resident_tokens={"device": 64, "host": 16}, **counts)


def test_replicas_with_their_health_and_hit_share() -> None:
    series = FleetSeries(
        "qwen",
        (
            replica("a", answers=4, prompt_tokens=400, cached_tokens=300),
            replica("b", up=False, state="down: connection refused"),
        ),
        retries={"down": 2, "busy": 1},
        counts={"broken_streams": 1},
        gauges={"warm_queue": 5},
    )
    view = fleet_view(series, (), {})
    assert (view.up, view.total, view.retries, view.broken_streams, view.warm_queue) == (1, 2, 3, 1, 5)
    one, two = view.replicas.rows
    assert (one.state, one.hit_share, one.resident_tokens) == ("up", 0.75, 80)
    assert (two.state, two.reason, two.hit_share) == ("down", "connection refused", None)
    assert view.hit_share == 0.75


def test_the_share_of_a_document_at_each_replica() -> None:
    series = FleetSeries("qwen", tuple(replica(name) for name in "abc"))
    view = fleet_view(series, [DocumentShares("handbook@3", 1000, {"a": 1000, "b": 336})], {})
    (row,) = view.heat
    assert (row.document, row.tokens) == ("handbook@3", 1000)
    assert [cell.share for cell in row.cells] == [1.0, 0.336, 0.0]
    assert [cell.shade for cell in row.cells] == [9, 3, 0]


def test_a_partial_block_at_the_end_is_no_part_of_the_whole() -> None:
    series = FleetSeries("qwen", (replica("a"), replica("b")))
    view = fleet_view(series, [DocumentShares("d@1", 1003, {"a": 992, "b": 496}, 16)], {})
    assert [cell.share for cell in view.heat[0].cells] == [1.0, 0.5]
    short = fleet_view(series, [DocumentShares("d@1", 7, {}, 16)], {})
    assert [cell.share for cell in short.heat[0].cells] == [0.0, 0.0]


def test_a_large_fleet_has_pages_and_its_cells_are_those_of_the_page() -> None:
    names = [f"r{number:03}" for number in range(50)]
    series = FleetSeries("qwen", tuple(replica(name) for name in names))
    view = fleet_view(series, [DocumentShares("d@1", 10, {"r020": 10})], {"replicas": "21"})
    assert [row.series.replica for row in view.replicas.rows] == names[20:40]
    assert len(view.heat[0].cells) == COLUMNS and view.heat[0].cells[0].share == 1.0
    assert view.total == 50


@pytest.mark.parametrize(("share", "shade"), [(0.0, 0), (0.001, 1), (0.999, 8), (1.0, 9), (0.5, 5)])
def test_the_first_shade_is_nothing_and_the_last_all(share: float, shade: int) -> None:
    assert shade_of(share) == shade < SHADES
