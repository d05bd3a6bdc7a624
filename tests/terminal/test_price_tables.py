"""Tariffs and terms for people."""

from __future__ import annotations

import pytest

from kvproxy.core import NANO
from kvproxy.tariffs import FREE, DocumentTerms, ModelPrices, Tariff
from kvproxy.tariffs.tariff_history import TariffRecord
from kvproxy.terminal.price_tables import describe_terms, print_tariffs


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        (FREE, "free"),
        (
            DocumentTerms(kind="share", share_ppm=125_000, publisher_ppm=800_000),
            "12.5% of what a read saves, 80% of it the publisher's",
        ),
        (
            DocumentTerms(kind="fixed", nano_per_1000=NANO // 500),
            "0.002 EUR for a thousand tokens, 100% of it the publisher's",
        ),
        (
            DocumentTerms(text_readers="full_price", publisher_ppm=0),
            "free, 0% of it the publisher's; who sends the text without a grant pays as for a cold read",
        ),
    ],
)
def test_terms_are_described(terms: DocumentTerms, told: str) -> None:
    assert describe_terms(terms, "EUR") == told


def test_each_price_is_in_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    one = ModelPrices(input=11, cached_input=7, output=13, publishing=17, storage_mb_hour=19)
    tariffs = [
        Tariff.of("EUR", begins, {"[m]": one}, ModelPrices(input=23, output=29)) for begins in (0, 1000)
    ]
    print_tariffs([TariffRecord(told, "valid", "", 0) for told in tariffs], tariffs[1])
    out = capsys.readouterr().out
    for nano in (11, 7, 13, 17, 19, 23, 29):
        assert f"0.{nano:09d}" in out
    assert "[m]" in out and "all others" in out
    assert "from 1970-01-01T00:00:00Z: EUR" in out and "from 1970-01-01T00:00:01Z, valid now: EUR" in out
