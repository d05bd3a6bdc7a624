"""Figures of tiers: they come from pages that were really written, fetched and read, and nothing is left of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.bench.tiers_bench import bench_tiers
from kvproxy.bench.tiers_table import print_tiers
from kvproxy.core.page_form import PageForm


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    form = PageForm(layers=2, kv_heads=1, head_dim=8, dtype="float32")
    result = bench_tiers(form, pages=3, url=f"file://{tmp_path}/objects", repeats=2)
    assert (result["pages"], result["page_bytes"]) == (3, form.payload_bytes(256))
    assert len(result["rows"]) == 12 and all(row["wall_s"] > 0 for row in result["rows"])
    assert not list(tmp_path.rglob("*.page"))
    print_tiers(result)
    assert "load from an object, and keep it" in capsys.readouterr().out
