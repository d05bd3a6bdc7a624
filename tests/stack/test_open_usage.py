"""The speed that seconds saved follow from: measured prefills, and before the first one those of the documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest

from kvproxy.charging.prefill_rates import PrefillRates
from kvproxy.core import DocumentRef, Kept
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.publish import Publisher
from kvproxy.publishing.holdings import DocumentHolding
from kvproxy.stack import open_usage
from kvproxy.stack.open_usage import saved_time


@dataclass
class Holder:
    """A publisher with holdings alone, which counts how often it is looked into."""

    holdings: dict[DocumentRef, DocumentHolding]
    looked: int = 0

    def newest_holdings(self, most: int) -> list[DocumentHolding]:
        self.looked += 1
        return list(self.holdings.values())[:most]


def kept(tokens: int, prefill_s: float) -> DocumentHolding:
    record = Kept("f", tuple(range(tokens)), (), 0, prefill_s)
    return DocumentHolding("public", (KeptFraming("system", record),), "tenant:x")


def a_publisher(*each: DocumentHolding) -> tuple[Publisher, Holder]:
    holder = Holder({DocumentRef("d", number): one for number, one in enumerate(each)})
    return cast(Publisher, holder), holder


def test_documents_tell_the_speed_until_a_request_does() -> None:
    rates, (publisher, holder) = PrefillRates(), a_publisher(kept(500, 1.0), kept(400, 2.0), kept(900, 0.9))
    saved_us = saved_time(rates, publisher, "small")
    assert saved_us("small", 1_000) == 2_000_000, "the middle one: 500 tokens a second"
    assert saved_us("small", 500) == 1_000_000 and holder.looked == 1
    rates.learn("small", 1_000, 1.0)
    assert saved_us("small", 600) == 1_000_000, "a running mean of 500 and 1,000"


def test_the_ledger_has_the_same_seconds_from_the_first_read_on() -> None:
    rates, (publisher, _) = PrefillRates(), a_publisher(kept(500, 1.0))
    saved_time(rates, publisher, "small")
    assert rates.saved_us("small", 1_000) == 2_000_000, "booked before the usage figures are"


def test_what_says_nothing_about_speed_is_left_out() -> None:
    publisher, holder = a_publisher(kept(500, 0.0), kept(8, 1.0))
    saved_us = saved_time(PrefillRates(), publisher, "small")
    assert saved_us("small", 1_000) == 0 and saved_us("small", 1_000) == 0
    assert holder.looked == 1, "it is not looked at with every request"


def test_it_is_looked_at_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_usage, "_AGAIN_S", 0.0)
    publisher, holder = a_publisher()
    saved_us = saved_time(PrefillRates(), publisher, "small")
    assert saved_us("small", 1_000) == 0
    holder.holdings[DocumentRef("d", 1)] = kept(500, 1.0)
    assert saved_us("small", 1_000) == 2_000_000


def test_other_models_and_nothing_saved_need_no_document() -> None:
    publisher, holder = a_publisher(kept(500, 1.0))
    saved_us = saved_time(PrefillRates(), publisher, "small")
    assert saved_us("a-fleet", 1_000) == 0 and saved_us("small", 0) == 0 and holder.looked == 0
