"""Inputs of ``kvproxy economics``: measurements, list prices, tariffs and the ledger's sums, read where they lie."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvproxy.cli.options import read_text
from kvproxy.cli.tariff_commands import open_recorded
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from kvproxy.config import Config
    from kvproxy.economics.document_case import DocumentCase, MarketPrices, MeasuredSize
    from kvproxy.ledger.ledger_reading import Aggregate
    from kvproxy.tariffs import DocumentTerms, ModelPrices, Tariff

DAY_MS = 86_400_000


def parse_price(text: str, option: str) -> int:
    """Return a price of an option in nano-units. Raises SetupError."""
    from kvproxy.core import parse_nano
    from kvproxy.tariffs.model_prices import checked_price

    try:
        return checked_price("the price", parse_nano(text))
    except ValueError as e:
        raise SetupError(f"{option}: {e}") from e


def read_measured(file: Path | None, model: str, tokens: int | None) -> MeasuredSize:
    """Return the measurement of ``tokens``: from the JSON of ``kvproxy bench paper``, else made now, once.

    Raises SetupError. Example: ``read_measured(None, "smollm2-135m", 1024)``
    """
    from kvproxy.economics.document_case import measured_size

    if file is not None:
        try:
            result: Any = json.loads(read_text(str(file)))
        except ValueError as e:
            raise SetupError(f"{file} is no JSON: {e}") from e
        return measured_size(result, tokens)
    from kvproxy.bench.paper import bench_paper
    from kvproxy.config import default_cache_dir
    from kvproxy.terminal.progress import Progress

    wanted = tokens or 1024
    with Progress(f"measuring {wanted:,} tokens of {model}", unit="sizes") as progress:
        result = bench_paper(
            model, cache_dir=default_cache_dir(), sizes=(wanted,), repeats=1, progress=progress
        )
    return measured_size(result, wanted)


@dataclass(frozen=True, slots=True)
class Asked:
    """Prices at the host, and where they are from."""

    prices: ModelPrices
    terms: DocumentTerms
    source: str


def read_asked(
    settings: Config, file: Path | None, sold_as: str, prices: MarketPrices, terms: str | None
) -> Asked:
    """Return the host's prices: of the tariff file, else of the config's or recorded tariff, else list prices.

    Raises SetupError. Example: ``read_asked(settings, None, "qwen3-4b", MarketPrices(), "30%")``
    """
    from kvproxy.economics.document_case import tariff_of_list_prices
    from kvproxy.tariffs import FREE
    from kvproxy.tariffs.terms_text import parse_terms

    tariff = _tariff(settings, file)
    try:
        chosen = None if terms is None else parse_terms(terms, settings.billing.publisher_ppm)
    except ValueError as e:
        raise SetupError(f"--terms: {e}") from e
    if tariff is None:
        source = "list prices: no tariff is set, cached tokens at a tenth"
        return Asked(tariff_of_list_prices(prices), chosen or FREE, source)
    found = tariff.prices(sold_as)
    if found is None:
        names = ", ".join(sorted(tariff.models)) or "none"
        raise SetupError(f"the tariff has no prices of '{sold_as}'; take --sold-as, one of: {names}")
    if tariff.currency != prices.currency:
        raise SetupError(f"list prices are in {prices.currency}, and the tariff in {tariff.currency}")
    return Asked(found, chosen or tariff.documents, f"tariff {tariff.id[:12]}, {sold_as}")


def _tariff(settings: Config, file: Path | None) -> Tariff | None:
    """Return the tariff that is valid now, of the file or of the database; else the first of the file."""
    from kvproxy.stack.tariff_context import file_context
    from kvproxy.tariffs.recorded_tariffs import Tariffs
    from kvproxy.tariffs.tariff_file import read_tariff_file
    from kvproxy.tariffs.tariff_history import now_in_ms

    path = file or settings.tariff
    if path is not None:
        entries = read_tariff_file(path, file_context(settings, billed=False)).entries
        begun = [entry.tariff for entry in entries if entry.tariff.valid_from_ms <= now_in_ms()]
        return (begun or [entries[0].tariff])[-1]
    database = open_recorded(settings)
    if database is None:
        return None
    with database:
        tariffs = Tariffs(database)
        tariffs.refresh()
    return tariffs.at(now_in_ms())


@dataclass(frozen=True, slots=True)
class Booked:
    """The ledger's sums over a document's reads, and the days between the first and the last of them."""

    sums: Aggregate
    days: Fraction | None


def read_booked(settings: Config, document: str | None) -> Booked:
    """Return what the ledger has booked of a document, ``handbook`` with all versions, or of all documents.

    Raises SetupError where there is no ledger, or no read in it.
    """
    from dataclasses import fields

    from sqlalchemy import func, select

    from kvproxy.database.tables.ledger_tables import LEDGER_ROWS
    from kvproxy.ledger.ledger_reading import Aggregate, AggregateQuery, read_sums

    database = open_recorded(settings)
    if database is None:
        raise SetupError("there is no ledger yet: no server has run with this database")
    with database, database.snapshot() as db:
        found = [
            sums
            for sums in read_sums(db, AggregateQuery(by="document"))
            if document is None or sums.name == document or sums.name.partition("@")[0] == document
        ]
        first, last = db.execute(select(func.min(LEDGER_ROWS.c.at_ms), func.max(LEDGER_ROWS.c.at_ms))).one()
    if not found:
        raise SetupError(f"the ledger has no read of {document or 'any document'} from kept pages")
    numbers = {field.name: sum(getattr(one, field.name) for one in found) for field in fields(Aggregate)[1:]}
    sums = Aggregate(name=document or "all documents", **numbers)
    return Booked(sums, Fraction(last - first, DAY_MS) if last > first else None)


def with_booked(case: DocumentCase, booked: Booked | None) -> DocumentCase:
    """Return the case with as many readers as the ledger has booked."""
    from dataclasses import replace

    return (
        case if booked is None else replace(case, readers=booked.sums.requests, readers_source="the ledger")
    )
