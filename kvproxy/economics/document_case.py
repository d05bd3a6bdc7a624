"""`DocumentCase`: one document, its readers, measured times and prices. What ``document_economics`` computes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from kvproxy.core import NANO
from kvproxy.economics.read_costs import mb_hour_nano, seconds
from kvproxy.errors import SetupError
from kvproxy.tariffs import FREE, DocumentTerms, ModelPrices


@dataclass(frozen=True, slots=True)
class MarketPrices:
    """List prices, in nano-units. The defaults: an API's $5 for a million input tokens, which is what 80 million
    prefills of 3,774 tokens for about $1.5M come to; $0.09 for a GB of traffic to the internet, and $0.023 for a GB
    kept a month, as large clouds list them."""

    currency: str = "USD"
    input: int = 5 * NANO
    """For a million tokens."""
    egress_gb: int = 90_000_000
    """For 10^9 bytes."""
    storage_gb_month: int = 23_000_000
    machine_hour: int | None = None
    """For an hour of the machine that was measured; None: its cost is unknown."""


@dataclass(frozen=True, slots=True)
class ReadTimes:
    """Measured seconds of one document size, and the part of its plain size that its KV has compressed."""

    prefill_s: Fraction
    publish_s: Fraction
    disk_s: Fraction
    """Time to the first token of a read whose pages come from disk; loading is a part of it."""
    load_s: Fraction | None
    """None in measurements of earlier versions."""
    resident_s: Fraction
    lossless: Fraction
    source: str


@dataclass(frozen=True, slots=True)
class DocumentCase:
    """One document with its readers. ``prices`` are list prices, ``tariff`` is what this host asks."""

    name: str
    tokens: int
    readers: int
    kv_bytes: int
    prices: MarketPrices
    tariff: ModelPrices
    terms: DocumentTerms = FREE
    times: ReadTimes | None = None
    size_source: str = "measured"
    tariff_source: str = "--tariff"
    readers_source: str = "--readers"

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.readers < 1:
            raise SetupError("a document has at least one token, and at least one reader")


def tariff_of_list_prices(prices: MarketPrices) -> ModelPrices:
    """Return a tariff at list prices: cached tokens a tenth, publishing as input, storage as the cloud's."""
    mb_hour = mb_hour_nano(prices.storage_gb_month)
    return ModelPrices(
        input=prices.input,
        output=0,
        publishing=prices.input,
        storage_mb_hour=(2 * mb_hour.numerator + mb_hour.denominator) // (2 * mb_hour.denominator),
    )


@dataclass(frozen=True, slots=True)
class MeasuredSize:
    """One size of ``kvproxy bench paper``, with the bytes of its KV."""

    tokens: int
    kv_bytes: int
    times: ReadTimes


def measured_size(result: Mapping[str, Any], tokens: int | None) -> MeasuredSize:
    """Take the times of ``tokens`` from the JSON of ``kvproxy bench paper``: between two measured sizes by a straight
    line. None takes the largest size.

    Raises SetupError for a JSON of another kind, and for a size beyond those that were measured.
    """
    try:
        rows: Sequence[Mapping[str, Any]] = sorted(result["sizes"], key=lambda row: int(row["tokens"]))
        machine = f"{result['model']}, {result['machine']['cpu']}"
        per_token = int(result["kv_bytes_per_token"])
        wanted = int(rows[-1]["tokens"]) if tokens is None else tokens
        below = [row for row in rows if row["tokens"] <= wanted][-1:]
        above = [row for row in rows if row["tokens"] >= wanted][:1]
        if not below or not above:
            sizes = f"{rows[0]['tokens']:,} to {rows[-1]['tokens']:,}"
            raise SetupError(
                f"{wanted:,} tokens were not measured, only {sizes}: measure them with kvproxy bench paper --sizes"
            )
        times = _between(below[0], above[0], wanted, machine)
    except (KeyError, TypeError, IndexError, ValueError) as e:
        raise SetupError(f"this is no JSON of kvproxy bench paper: {type(e).__name__} {e}") from e
    return MeasuredSize(wanted, wanted * per_token, times)


def _between(below: Mapping[str, Any], above: Mapping[str, Any], tokens: int, machine: str) -> ReadTimes:
    low, high = int(below["tokens"]), int(above["tokens"])
    part = Fraction(tokens - low, high - low) if high > low else Fraction(0)

    def at(name: str) -> Fraction:
        return seconds(below[name]) + part * (seconds(above[name]) - seconds(below[name]))

    how = f"at {low:,} tokens" if part == 0 else f"between {low:,} and {high:,} tokens"
    return ReadTimes(
        prefill_s=at("prefill_s"),
        publish_s=at("publish_s"),
        disk_s=at("from_disk_s"),
        load_s=at("load_s") if "load_s" in below and "load_s" in above else None,
        resident_s=at("resident_s"),
        lossless=at("lossless_of_plain"),
        source=f"kvproxy bench paper, {machine}, {how}",
    )
