from __future__ import annotations

import pytest

from kvproxy.bench.page_tables import print_pages, print_restart


def test_pages_are_shown_beside_reading_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "pages": "plain",
        "cache": "cold",
        "threads": 2,
        "load_ms_per_page": 3.0,
        "of_read": 0.85,
        "of_verify": 0.9,
    }
    speeds = {"read_gb_s": 2.0, "verify_gb_s": 1.9, "load_gb_s": 1.7, "kv_gb_s": 1.7}
    print_pages({"rows": [row | speeds], "pages": 30, "page_bytes": 5_898_240, "kernels_layout": True})
    shown = capsys.readouterr().out
    assert "85 %" in shown and "1.70 GB/s" in shown and "the kernels' layout" in shown


def test_restarts_are_shown_with_their_median(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("model_load", "listening", "first_hit", "second_hit", "start_to_first_hit", "litellm_import")
    row = dict(zip(names, (1.25, 3.0, 0.4, 0.1, 3.4, 2.2), strict=True))
    print_restart({"rows": [row], "median": row, "model": "smollm2-135m", "document_tokens": 7638})
    shown = capsys.readouterr().out
    assert shown.count("1.25 s") == 2 and "7,638 tokens" in shown
