"""A measured document and its prices, for the tests of economics."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kvproxy.core import NANO
from kvproxy.economics.document_case import DocumentCase, MarketPrices, ReadTimes
from kvproxy.tariffs import DocumentTerms, ModelPrices

TIMES = ReadTimes(
    prefill_s=Fraction(40),
    publish_s=Fraction(42),
    disk_s=Fraction(1, 2),
    load_s=Fraction(1, 10),
    resident_s=Fraction(1, 8),
    lossless=Fraction(7, 10),
    source="a test",
)

PRICES = ModelPrices(input=5 * NANO, output=0, publishing=5 * NANO, storage_mb_hour=32)

CASE = DocumentCase(
    name="handbook",
    tokens=4000,
    readers=1000,
    kv_bytes=4000 * 147_456,
    prices=MarketPrices(machine_hour=NANO),
    tariff=PRICES,
    terms=DocumentTerms(kind="share", share_ppm=300_000, publisher_ppm=800_000),
    times=TIMES,
)


def a_bench_paper(*sizes: int) -> dict[str, Any]:
    """JSON as of ``kvproxy bench paper``: seconds are a thousandth of the tokens, a read from disk a tenth of it."""
    return {
        "model": "shape:tiny",
        "machine": {"cpu": "a processor"},
        "kv_bytes_per_token": 256,
        "sizes": [
            {
                "tokens": n,
                "prefill_s": n / 1000,
                "publish_s": n / 900,
                "from_disk_s": n / 10_000,
                "load_s": n / 50_000,
                "resident_s": n / 20_000,
                "lossless_of_plain": 0.7,
            }
            for n in sizes
        ],
    }
