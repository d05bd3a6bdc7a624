from __future__ import annotations

from typing import Any

import pytest

from kvproxy.bench.watched.print_watched import print_dashboard_cost, print_lists, print_trace_cost

MACHINE: dict[str, Any] = {"cpu": "A CPU", "cores": 2, "python": "3.11"}


def test_the_dashboards_share_of_a_core(capsys: pytest.CaptureFixture[str]) -> None:
    more = {"median": 0.004, "least": 0.003, "greatest": 0.006}
    shares = {"nobody looks": [0.1, 0.12], "five views open": [0.104, 0.124]}
    part = {
        "requests_per_s": 20.0,
        "events_per_s": 3.5,
        "shares": shares,
        "of_a_core": {"nobody looks": 0.11, "five views open": 0.114},
        "closed_more": more,
        "open_more": more,
    }
    print_dashboard_cost({"machine": MACHINE, "under_load": part, "idle": part})
    told = capsys.readouterr().out
    assert "Five views open: +0.40% (+0.30% to +0.60%)." in told and "A CPU, 2 cores" in told


def test_lists_with_the_first_answer_beside_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "case": "by id",
        "tenant": "owner",
        "bytes": 2048,
        "p50": 5.0,
        "p99": 9.0,
        "cpu_ms": 4.0,
        "stall_ms": 1.0,
    }
    rows = [row, row | {"first": True, "p50": 250.0, "p99": 250.0, "stall_ms": 33.0}, row]
    result = {"machine": MACHINE, "documents": 1000, "times": 20, "libraries": {"public": rows}}
    print_lists(result)
    told = capsys.readouterr().out
    assert "Slowest: 250.0 ms, by id for owner; above 200 ms: 1 of 3. Longest stall: 33.0 ms." in told
    assert "250.0" in told and "33.0" in told


def test_traces(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"cpu_ms": 2.5, "ratio": 1.1, "each_ms": [2.4, 2.6]}
    print_trace_cost({"machine": MACHINE, "traces": {"on": row}, "bytes_of_spans": 12_345})
    told = capsys.readouterr().out
    assert "1.100" in told and "12,345 bytes" in told
