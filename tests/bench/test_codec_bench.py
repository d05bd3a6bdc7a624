"""``bench codec``: rows of every codec on the same pages; the bars on real text are held by the slow test."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.bench.codec_bench import CodedPage, bench_codec, measure_codecs
from kvproxy.codecs.open_codec import CODECS
from kvproxy.config import default_cache_dir
from kvproxy.core.page_form import PageForm
from kvproxy.errors import SetupError
from tests.codecs.page_numbers import payload


def test_a_row_for_each_codec_and_the_own_one_first() -> None:
    form = PageForm(2, 2, 64, "bfloat16")
    ids = tuple(range(256))
    pages = [CodedPage(bytes(payload(form, 256, "channels", seed)), ids) for seed in range(2)]
    rows = measure_codecs(form, pages, repeats=1)
    assert rows[0]["codec"] == CODECS[0] and len({row["codec"] for row in rows}) == len(rows) > 4
    assert all(row["equal"] and row["ratio"] > 1 and row["decode_gbs"] > 0 for row in rows)
    assert rows[0]["ratio"] == max(row["ratio"] for row in rows)


@pytest.mark.slow
def test_real_text_meets_the_bars_and_shipping_stays_out_of_reach() -> None:
    text = Path("examples/documents/gpl-3.txt").read_text(encoding="utf-8")
    result = bench_codec("smollm2-135m", text, cache_dir=default_cache_dir(), pages=8, repeats=3)
    own, with_engine = result["codecs"][:2]
    assert own["dtype"] == with_engine["dtype"] == "bfloat16"
    assert own["codec"] == "kv-rans-1" and own["ratio"] >= 1.5
    assert with_engine["codec"] == "kv-rans-1+layer0" and with_engine["ratio"] >= 1.57
    assert result["best_ratio"] < result["shipping_needs"] and not result["reaches_shipping"]
    assert all(row["largest_difference"] > 0 for row in result["int8"])


def test_a_text_that_is_too_short_is_said() -> None:
    with pytest.raises(SetupError, match="tokens"):
        bench_codec("smollm2-135m", "short", cache_dir=default_cache_dir(), pages=1)
