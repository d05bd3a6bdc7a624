from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kvproxy.bench.engine.page_loading import PLAIN, bench_pages
from kvproxy.bench.page_tables import print_pages
from kvproxy.codecs.open_codec import CODECS
from kvproxy.engine.cache.page_pool import PageShape


def test_each_way_is_measured_from_the_disk_and_from_its_cache(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape, done = PageShape(2, 1, 32, torch.bfloat16), list[tuple[int, int]]()
    result = bench_pages(
        shape,
        pages=3,
        codecs=(PLAIN, *CODECS[:1]),
        repeats=1,
        folder=tmp_path,
        progress=lambda *at: done.append(at),
    )
    rows = result["rows"]
    assert {(r["pages"], r["cache"], r["threads"]) for r in rows} == {
        (pages, cache, threads)
        for pages in (PLAIN, *CODECS[:1])
        for cache in ("warm", "cold")
        for threads in (1, 2)
    }
    for row in rows:
        assert min(row[f"{way}_gb_s"] for way in ("read", "verify", "load")) > 0
        assert row["of_read"] == pytest.approx(row["load_gb_s"] / row["read_gb_s"])
        assert row["of_verify"] == pytest.approx(row["load_gb_s"] / row["verify_gb_s"])
    assert done[-1][0] == done[-1][1] and list(tmp_path.iterdir()) == []
    print_pages(result)
    assert "cold" in capsys.readouterr().out
