"""`repricer`: the charge of a booked row computed anew, from the tariff and terms that it names."""

from __future__ import annotations

from collections.abc import Callable

from kvproxy.charging.hosting_charges import reprice
from kvproxy.core import Charge
from kvproxy.ledger.bookings import LedgerRow
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook


def repricer(tariffs: Tariffs, terms: TermsBook) -> Callable[[LedgerRow], Charge | None]:
    """Return a function that prices a row by its tariff and terms, or returns None where they are not known."""

    def repriced(row: LedgerRow) -> Charge | None:
        tariff = tariffs.by_id(row.tariff)
        if tariff is None:
            return None
        found = {read.terms: terms.by_id(read.terms) for read in row.metered.documents}
        try:
            return reprice(row, tariff, {id: one for id, one in found.items() if one is not None})
        except ValueError:
            return None

    return repriced
