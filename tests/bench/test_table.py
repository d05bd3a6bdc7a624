from __future__ import annotations

from typing import Any

import pytest

from kvproxy.bench.proxy import HIT, LITELLM, RAW
from kvproxy.bench.table import print_proxy


def quantiles(p50: float) -> dict[str, float]:
    return {"p50": p50, "p99": 2 * p50}


def result(*, litellm: bool) -> dict[str, Any]:
    ours: dict[str, Any] = {"name": RAW, "ms": quantiles(2.5), "added_ms": quantiles(0.5), "cpu_ms": 0.4}
    theirs = {"name": LITELLM, "ms": quantiles(1234.5), "added_ms": quantiles(1232.5), "cpu_ms": 9.5}
    if litellm:
        ours["of_litellm"] = {"p50": 0.0625}
    row = {"streamed": True, "at_once": 32, "metric": "first", "requests": 9, "straight_ms": quantiles(2.0)}
    hit = {"name": HIT, "ms": quantiles(3.0), "added_ms": quantiles(0.75), "own_ms": quantiles(0.33)}
    return {
        "machine": {"cpu": "Some CPU", "cores": 2, "python": "3.11", "system": "x"},
        "plan": {"sequential": 5, "concurrent": 9, "at_once": 32},
        "upstream": [{**row, "proxies": [theirs, ours] if litellm else [ours]}],
        "hit": {
            "document_tokens": 3700,
            "rows": [{**row, "streamed": False, "metric": "total", "proxies": [hit]}],
        },
    }


def test_every_figure_stands_in_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_proxy(result(litellm=True))
    out = capsys.readouterr().out
    table = [[c.strip() for c in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
    cells = {name: row for row in table for name in ("straight", LITELLM, RAW) if name in row}
    assert cells["straight"][:5] == ["streamed, first event", "32", "straight", "2.00", "4.00"]
    assert cells[LITELLM][2:] == [LITELLM, "1,234.50", "2,469.00", "1,232.50", "2,465.00", "-", "-", "9.50"]
    assert cells[RAW][2:] == [RAW, "2.50", "5.00", "0.50", "1.00", "0.062", "-", "0.40"]
    assert "3,700-token document" in out
    (hit,) = (line for line in out.splitlines() if "whole" in line)
    assert [c.strip() for c in hit.split("│")[1:-1]] == ["whole", "32", "0.33", "0.66", "0.75", "1.50", "-"]
    assert "2 cores shared by client, proxy and mock upstream" in out
    assert "5 requests one by one or 9 at 32 at once" in out


def test_without_litellms_proxy_there_are_no_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    print_proxy(result(litellm=False))
    out = capsys.readouterr().out
    assert LITELLM not in out
    (ours,) = (line for line in out.splitlines() if RAW in line)
    assert [c.strip() for c in ours.split("│")[1:-1]][7:] == ["-", "-", "0.40"]
