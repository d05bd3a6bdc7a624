"""`DocumentPricing`: the terms of documents as their publishers set them and readers see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from kvproxy.core import parse_nano
from kvproxy.errors import InvalidRequest
from kvproxy.granting.market_rights import now_in_ms
from kvproxy.tariffs.document_terms import MILLION, DocumentTerms, TermsKind, TextReaders
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook
from kvproxy.tariffs.terms_rows import ChosenTerms
from kvproxy.tariffs.terms_text import format_percent, parse_percent


@dataclass(frozen=True, slots=True)
class AskedPrice:
    """A publisher's price as it was written: decimal text, nothing converted."""

    kind: TermsKind
    share: str | None = None
    per_1000: str | None = None
    publisher_share: str | None = None
    text_readers: TextReaders = "discount"


@dataclass(frozen=True, slots=True)
class PricedDocument:
    """The terms that a publisher has chosen for a document."""

    document: str
    publisher: str
    currency: str
    current: ChosenTerms | None
    history: tuple[ChosenTerms, ...]


class DocumentPricing:
    """Sets and reads terms. What uses the database runs on a worker thread.

    Example:
        ``await DocumentPricing(terms, tariffs).choose("handbook", "acme", pricing.terms(asked), "CC BY 4.0")``
    """

    def __init__(
        self,
        book: TermsBook,
        tariffs: Tariffs,
        currency: str = "USD",
        clock_ms: Callable[[], int] = now_in_ms,
    ) -> None:
        """``currency``: the host's, where no tariff names it."""
        self._book = book
        self._tariffs = tariffs
        self._currency = currency
        self._clock_ms = clock_ms

    def terms(self, asked: AskedPrice) -> DocumentTerms:
        """Read a price. The host's part is at least what the tariff says: a publisher may give it more, not less.

        Raises InvalidRequest, which names the field.
        """
        amounts = {"share": asked.share, "per_1000": asked.per_1000}
        needed = {"free": None, "share": "share", "fixed": "per_1000"}[asked.kind]
        for name, text in amounts.items():
            if (text is not None) != (name == needed):
                does = "needs" if text is None else "has no"
                raise InvalidRequest(
                    f"A price of the kind {asked.kind} {does} '{name}'.", param=f"price.{name}"
                )
        most = self._publisher_ppm()
        share = _read("share", asked.share, parse_percent)
        nano = _read("per_1000", asked.per_1000, parse_nano)
        part = _read("publisher_share", asked.publisher_share, lambda text: parse_percent(text, most))
        try:
            return DocumentTerms(
                kind=asked.kind,
                share_ppm=share or 0,
                nano_per_1000=nano or 0,
                publisher_ppm=most if part is None else part,
                text_readers=asked.text_readers,
            )
        except ValueError as e:
            raise InvalidRequest(f"Invalid 'price': {e}.", param="price") from e

    def current(self, document: str, publisher: str) -> DocumentTerms:
        """Return the terms that count now: the publisher's, else the tariff's."""
        return self._book.terms(document, publisher)

    async def choose(
        self, document: str, publisher: str, terms: DocumentTerms, licence: str | None = None
    ) -> bool:
        """Set the terms of a document from now on; False where nothing changes. Without ``licence`` it stays.

        Example:
            ``await pricing.choose("handbook", "acme", DocumentTerms(), licence="CC BY 4.0")``
        """
        before = self._book.chosen(document, publisher)
        kept = (before.licence if before is not None else "") if licence is None else licence.strip()
        return await asyncio.to_thread(self._book.set_terms, document, publisher, terms, licence=kept)

    async def priced(self, document: str, publisher: str) -> PricedDocument:
        """Return what a publisher has chosen for a document, from the beginning."""
        history = await asyncio.to_thread(self._book.history, document, publisher)
        tariff = self._tariffs.at(self._clock_ms())
        currency = self._currency if tariff is None else tariff.currency
        current = self._book.chosen(document, publisher)
        return PricedDocument(document, publisher, currency, current, tuple(history))

    def _publisher_ppm(self) -> int:
        tariff = self._tariffs.at(self._clock_ms())
        return MILLION if tariff is None else tariff.documents.publisher_ppm


def share_text(terms: DocumentTerms) -> str | None:
    """Write the share of a price of that kind: ``25%``."""
    return format_percent(terms.share_ppm) if terms.kind == "share" else None


def _read(name: str, text: str | None, parse: Callable[[str], int]) -> int | None:
    if text is None:
        return None
    try:
        found = parse(text)
    except ValueError as e:
        raise InvalidRequest(f"Invalid 'price.{name}': {e}.", param=f"price.{name}") from e
    if found < 0:
        raise InvalidRequest(f"Invalid 'price.{name}': it is below zero.", param=f"price.{name}")
    return found
