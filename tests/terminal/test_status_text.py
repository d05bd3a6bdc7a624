"""The screen of ``kvproxy status``."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from kvproxy.terminal.status_text import status_text
from tests.terminal.overviews import EMPTY, OVERVIEW

URL = "http://127.0.0.1:8321"


def shown(*arguments: Any, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(status_text(URL, *arguments))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_all_is_told_within_the_width(width: int) -> None:
    told = shown(None, OVERVIEW, width=width)
    assert max(map(len, told.splitlines())) <= width
    words = " ".join(told.split())
    for part in (
        f"{URL} ready",
        "version 1.2.3, up 3 h 12 min",
        "models small-model",
        "documents 3 versions published, 4,000 tokens, 17 pages",
        "KV pages 120 used, 92 kept, 300 free of 512",
        "disk 1,017 pages, 1.5 GiB of 16.0 GiB",
        "audits 4 done, 0 wrong",
        "12 requests, 45,120 tokens skipped (84 % of the prompts'), 7 min 31 s saved, 0.0123 USD",
        "hits p50 21 ms, p99 110 ms of 212; misses p50 1.20 s, p99 3.40 s of 40",
        "timestamp 12, no-document 5",
    ):
        assert part in words, part
    assert "memory" not in told, "the KV pages say it"


def test_an_unready_one_says_why_and_one_without_figures_too() -> None:
    assert f"{URL}  Not ready: the model is upside down." in shown(
        "Not ready: the model is upside down.", None
    )
    assert "no figures: no key" in shown(None, None, "no key")
    degraded = shown(None, OVERVIEW | {"degraded": ["database"]})
    assert "ready  without its database" in degraded


def test_a_new_proxy() -> None:
    told = shown(None, EMPTY)
    assert "0 versions" in told and "all tenants" in told and "scope metrics" in told
    assert "0 requests, 0 tokens skipped, 0.0 s saved" in told and "hits none; misses none" in told


def test_documents_in_quarantine_are_told() -> None:
    engine = dict(OVERVIEW["engine"]) | {"quarantined": 2}
    assert "2 document versions are not used" in shown(None, OVERVIEW | {"engine": engine})
