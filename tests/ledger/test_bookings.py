"""Accounts of the ledger, by their names."""

from __future__ import annotations

from typing import get_args

from kvproxy.ledger.bookings import (
    HOST,
    PAYMENTS,
    SOURCES,
    CreditKind,
    publisher_account,
    reader_account,
)
from kvproxy.ledger.row_body import content_of
from tests.ledger.made_bookings import booking


def test_each_kind_of_credit_has_a_source_of_its_own() -> None:
    assert set(SOURCES) == set(get_args(CreditKind))
    assert len(set(SOURCES.values())) == len(SOURCES) and SOURCES["payment"] == PAYMENTS


def test_no_tenant_can_be_named_like_an_account_of_the_host() -> None:
    fixed = {HOST, *SOURCES.values()}
    for tenant in ("host", "promotional", "external:admin", ""):
        assert reader_account(tenant) not in fixed and publisher_account(tenant) not in fixed
    assert reader_account("a") != publisher_account("a")


def test_a_row_names_its_model_and_tariff() -> None:
    content = content_of(booking("r1"))
    assert (content.model, content.tariff, content.kind) == ("tiny", "tariff-1", "read")
