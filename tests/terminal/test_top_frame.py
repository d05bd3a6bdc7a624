"""The frame of ``kvproxy top``: all figures, in 80 columns and in more."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from kvproxy.terminal.top_frame import WIDE, top_frame
from tests.terminal.overviews import EMPTY, HIT, MISS, OVERVIEW


def shown(overview: dict[str, object], *newest: dict[str, object], width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(top_frame(overview, newest, width))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, WIDE, 140])
def test_every_figure_is_there_and_fits(width: int) -> None:
    refused = HIT | {
        "outcome": "refused",
        "prompt_tokens": None,
        "ttft_s": None,
        "document": None,
        "reason": "overloaded",
    }
    told = shown(OVERVIEW, HIT, refused, width=width)
    assert max(map(len, told.splitlines())) <= width
    words = " ".join(told.split())
    for part in (
        "kvproxy 1.2.3 ready small-model up 3 h 12 min ann",
        "tokens skipped 45,120 3,201,233",
        "of the prompts' 84 % 80 %",
        "running 2, waiting 1",
        "120 used, 92 kept of 512",
        "4 done, 0 wrong",
        "timestamp 12 no-document 5",
        "3,774 of 3,800 21 ms handbook@3",
        "refused overloaded",
    ):
        assert part in words if width == 80 else all(word in words for word in part.split()), part
    assert "7 min 31 s" in told and "0.0123 USD" in told and "█" in told
    assert "21 ms" in told and "110 ms" in told and "1.20 s" in told


def test_wide_ones_are_shorter() -> None:
    assert shown(OVERVIEW, HIT, width=WIDE).count("\n") < shown(OVERVIEW, HIT, width=80).count("\n")


def test_a_proxy_that_nobody_has_asked() -> None:
    told = shown(EMPTY)
    assert "all tenants" in told and "scope metrics" in told and "nothing lately" in told
    assert "misses by cause  none" in told


def test_an_unready_proxy_and_the_misses_of_all() -> None:
    away = OVERVIEW | {
        "ready": False,
        "reason": "the engine stands",
        "degraded": ["database"],
        "tenant": None,
    }
    told = shown(away, MISS)
    assert "not ready: the engine stands" in told and "without its database" in told
    assert "0 of 900" in told and "bob timestamp" in told


def test_a_wrong_audit_is_told() -> None:
    engine = dict(OVERVIEW["engine"]) | {"audits": {"passed": 4, "failed": 2, "dropped": 0}}
    assert "6 done, 2 wrong" in shown(OVERVIEW | {"engine": engine})
