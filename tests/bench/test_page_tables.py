"""Figures of the page benchmarks stand in the columns that name them."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.bench.page_tables import print_pages, print_restart

ROW = {
    "pages": "plain",
    "cache": "cold",
    "threads": 2,
    "read_gb_s": 3.125,
    "verify_gb_s": 2.5,
    "load_gb_s": 1.75,
    "kv_gb_s": 1.9,
    "load_ms_per_page": 6.789,
    "of_read": 0.56,
    "of_verify": 0.7,
}


def pages(*, kernels: bool) -> dict[str, Any]:
    return {"pages": 30, "page_bytes": 11_800_000, "kernels_layout": kernels, "rows": [ROW]}


def test_loading_stands_beside_reading_and_verifying(capsys: pytest.CaptureFixture[str]) -> None:
    print_pages(pages(kernels=True))
    head, row, notes = capsys.readouterr().out.splitlines()
    assert head.split() == ("pages cache threads read read + verify load KV a page of read of verify".split())
    assert row.split() == ("plain cold 2 3.12 GB/s 2.50 GB/s 1.75 GB/s 1.90 GB/s 6.79 ms 56 % 70 %".split())
    assert notes.startswith("30 pages of 11.8 MB of KV, written to the pool in the kernels' layout.")


def test_a_measurement_without_kernels_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_pages(pages(kernels=False))
    out = capsys.readouterr().out
    assert "in rows, for want of kernels." in out and "the kernels' layout" not in out


def test_each_restart_has_its_row_and_the_median_is_last(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("model_load", "listening", "first_hit", "second_hit", "start_to_first_hit", "litellm_import")
    rows = [{name: n + i / 10 for i, name in enumerate(names)} for n in (1, 3)]
    median = {name: 2 + i / 10 for i, name in enumerate(names)}
    print_restart({"model": "small", "document_tokens": 3774, "rows": rows, "median": median})
    head, *lines, notes = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["restart", "model", "load"] and head.rstrip().endswith("litellm's import")
    assert [line.split() for line in lines] == [
        "1 1.00 s 1.10 s 1.20 s 1.30 s 1.40 s 1.50 s".split(),
        "2 3.00 s 3.10 s 3.20 s 3.30 s 3.40 s 3.50 s".split(),
        "median 2.00 s 2.10 s 2.20 s 2.30 s 2.40 s 2.50 s".split(),
    ]
    assert notes.startswith("small, a document of 3,774 tokens.")
