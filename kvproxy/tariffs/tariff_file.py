"""The operator's tariff file, YAML with validity dates: read whole, each fault with its line. examples/tariff.yaml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from yaml.nodes import Node, ScalarNode

from kvproxy.core import checked_currency, parse_nano
from kvproxy.errors import SetupError
from kvproxy.tariffs.document_terms import FREE, MILLION, DocumentTerms, TextReaders
from kvproxy.tariffs.marked_yaml import LineFault, compose, is_empty, mapping, needed, parsed, sequence, text
from kvproxy.tariffs.model_prices import ModelPrices, checked_price, digest
from kvproxy.tariffs.model_tariff import Tariff
from kvproxy.tariffs.terms_text import parse_percent, parse_terms
from kvproxy.tariffs.upstream_prices import CURRENCY, read_cost_map, upstream_prices

T = TypeVar("T")

MOST_MARGIN = 10 * MILLION
"""The largest margin on upstream prices, in millionths: 1000%."""

_PRICES = ("input", "cached_input", "output", "publishing", "storage_mb_hour")
_ENTRY = ("valid_from", "default", "models", "upstreams", "documents")


@dataclass(frozen=True, slots=True)
class TariffEntry:
    """One entry of the file."""

    tariff: Tariff
    line: int
    written: str
    """A digest of the entry as it is written: the same as long as nobody edits it, while litellm's map may change."""


@dataclass(frozen=True, slots=True)
class TariffFile:
    """A whole tariff file; entries in the order of their validity."""

    path: Path
    currency: str
    entries: tuple[TariffEntry, ...]


@dataclass(frozen=True, slots=True)
class FileContext:
    """The settings outside of a tariff file that it is read with."""

    currency: str | None = None
    """The host's currency, which the file's must be; None compares nothing."""
    publisher_ppm: int = MILLION
    """The publisher's part of its price where the file does not say."""
    upstreams: Mapping[str, str] = field(default_factory=dict)
    """Upstream models by their served name, each as litellm's ``params`` name it."""
    cost_map: Path | None = None
    """Another file than the one in litellm's package."""


def read_tariff_file(path: Path, context: FileContext | None = None) -> TariffFile:
    """Read and check a tariff file. Raises SetupError with every fault and its line.

    Example:
        ``read_tariff_file(Path("tariff.yaml"), FileContext(currency="USD"))``
    """
    try:
        reader = _Reader(path, context or FileContext())
        found = reader.file(compose(path))
    except OSError as e:
        raise SetupError(f"cannot read the tariff {path}: {e.strerror}") from e
    except ValueError as e:
        raise SetupError(f"{path}: {e}") from e
    except RecursionError as e:
        raise SetupError(f"{path}: an alias in it (*name) leads back to itself; write the prices out") from e
    if found is None:
        raise SetupError("; ".join(f"{path}, {fault}" for fault in reader.faults))
    return found


class _Reader:
    """Collects faults: one wrong price must not hide the next."""

    def __init__(self, path: Path, context: FileContext) -> None:
        self.path, self.context = path, context
        self.faults: list[str] = []

    def file(self, node: Node) -> TariffFile | None:
        top = self._try(mapping, node, ("currency", "tariffs"), "the tariff file")
        if top is None:
            return None
        currency = self._try(self._currency, top, node)
        listed = self._try(lambda: sequence(needed(top, "tariffs", node), "tariffs")) or []
        if not listed and not self.faults:
            self.faults.append(f"line {node.start_mark.line + 1}: 'tariffs' has no entry")
        entries = [self._try(self._entry, one, currency or "USD") for one in listed]
        found = [entry for entry in entries if entry is not None]
        self._distinct_dates(found)
        if self.faults or currency is None:
            return None
        found.sort(key=lambda entry: entry.tariff.valid_from_ms)
        return TariffFile(self.path, currency, tuple(found))

    def _try(self, read: Callable[..., T], *given: Any) -> T | None:
        try:
            return read(*given)
        except LineFault as e:
            self.faults.append(str(e))
            return None

    def _currency(self, top: Mapping[str, Node], node: Node) -> str:
        where = needed(top, "currency", node)
        currency = parsed(where, checked_currency, "currency")
        if self.context.currency not in (None, currency):
            raise LineFault(
                where,
                f"currency is {currency}, and the host's is {self.context.currency}; make billing.currency and this "
                "one the same",
            )
        return currency

    def _distinct_dates(self, entries: list[TariffEntry]) -> None:
        seen: dict[int, int] = {}
        for entry in entries:
            if (line := seen.setdefault(entry.tariff.valid_from_ms, entry.line)) != entry.line:
                self.faults.append(
                    f"line {entry.line}: valid_from is the same as in line {line}; each needs its own"
                )

    def _entry(self, node: Node, currency: str) -> TariffEntry:
        fields = mapping(node, _ENTRY, "an entry of tariffs")
        starts = parsed(needed(fields, "valid_from", node), parse_time, "valid_from")
        default = self._prices(fields["default"], "default") if "default" in fields else None
        models: dict[str, ModelPrices] = {}
        for name, one in mapping(fields["models"], None, "models").items() if "models" in fields else ():
            if (prices := self._try(self._prices, one, name)) is not None:
                models[name] = prices
        if "upstreams" in fields:
            models = self._upstreams(fields["upstreams"], currency, default is not None) | models
        documents = self._documents(fields["documents"]) if "documents" in fields else self._free()
        if not models and default is None and not self.faults:
            raise LineFault(node, "the entry has neither models nor a default, so that nothing is sold")
        tariff = Tariff.of(currency, starts, models, default, documents)
        return TariffEntry(tariff, node.start_mark.line + 1, digest({"written": written(node)}))

    def _prices(self, node: Node, name: str) -> ModelPrices:
        fields = mapping(node, _PRICES, f"the prices of {name[:60]}")
        for wanted in ("input", "output"):
            needed(fields, wanted, node)
        nano = {key: parsed(one, _price, key) for key, one in fields.items()}
        nano.setdefault("publishing", nano["input"])
        try:
            return ModelPrices(**nano)
        except ValueError as e:
            raise LineFault(fields.get("cached_input", node), str(e)) from e

    def _upstreams(self, node: Node, currency: str, has_default: bool) -> dict[str, ModelPrices]:
        """Prices of all upstreams that litellm's map has."""
        margin = 0
        source: Node = node
        if not isinstance(node, ScalarNode):
            fields = mapping(node, ("from", "margin"), "upstreams")
            source = needed(fields, "from", node)
            if "margin" in fields:
                margin = parsed(fields["margin"], lambda told: parse_percent(told, MOST_MARGIN), "margin")
        if text(source, "upstreams") != "litellm":
            raise LineFault(
                source, "upstreams can be 'litellm', whose cost map has prices of upstream models"
            )
        if currency != CURRENCY:
            raise LineFault(source, f"litellm's cost map is in {CURRENCY}, and this tariff in {currency}")
        try:
            cost_map = read_cost_map(self.context.cost_map)
        except ValueError as e:
            raise LineFault(source, str(e)) from e
        found = {
            name: upstream_prices(model, margin, cost_map) for name, model in self.context.upstreams.items()
        }
        return {name: prices for name, prices in found.items() if prices is not None}

    def _free(self) -> DocumentTerms:
        return DocumentTerms(publisher_ppm=self.context.publisher_ppm)

    def _documents(self, node: Node) -> DocumentTerms:
        fields = mapping(node, ("price", "publisher_share", "text_readers"), "documents")
        part, readers = self.context.publisher_ppm, FREE.text_readers
        if "publisher_share" in fields:
            part = parsed(fields["publisher_share"], parse_percent, "publisher_share")
        if "text_readers" in fields:
            readers = parsed(fields["text_readers"], _text_readers, "text_readers")
        if "price" not in fields:
            return DocumentTerms(publisher_ppm=part, text_readers=readers)
        return parsed(fields["price"], lambda told: parse_terms(told, part, readers), "price")


def _price(told: str) -> int:
    return checked_price("the price", parse_nano(told))


def _text_readers(told: str) -> TextReaders:
    readers: dict[str, Literal["discount", "full_price"]] = {
        "discount": "discount",
        "full_price": "full_price",
    }
    if told not in readers:
        raise ValueError(f"'{told[:40]}' is neither discount nor full_price")
    return readers[told]


def parse_time(told: str) -> int:
    """Return Unix milliseconds of a date, midnight UTC, or of a time with its zone, as RFC 3339 writes both.

    Raises ValueError for anything else, and for a time without a zone.
    """
    advice = "write a date like 2026-12-01, or a time with its zone like 2026-12-01T09:30:00Z"
    try:
        at = datetime.fromisoformat(told.strip())
    except ValueError as e:
        raise ValueError(f"'{told[:40]}' is no time; {advice}") from e
    if at.tzinfo is None:
        if len(told.strip()) > len("2026-12-01"):
            raise ValueError(f"'{told[:40]}' has no zone; {advice}")
        at = at.replace(tzinfo=UTC)
    if at.year < 1970:
        raise ValueError(f"'{told[:40]}' lies before 1970; {advice}")
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def format_time(at_ms: int) -> str:
    """Write Unix milliseconds as ``parse_time`` reads them, down to the second."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def written(node: Node) -> Any:
    """Return a node's content without marks: what a digest of the text as written is made of."""
    if isinstance(node, ScalarNode):
        return None if is_empty(node) else str(node.value)
    parts = [part if isinstance(part, tuple) else (part,) for part in node.value]
    return [[written(one) for one in part] for part in parts]
