"""Types of the catalog, of the host's own description, and the body that asks for a quote."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.core import Visibility
from kvproxy.wire.market.quote_types import MoneyBody


class ReadPrice(TypedDict):
    """The price of one read of a whole document: from kept pages, and computed cold."""

    read: MoneyBody
    cold: MoneyBody
    saved: MoneyBody


class CheckedBits(TypedDict):
    """The last verification: positions and pages whose bits are those of a prefill from scratch."""

    exact: bool
    checked: int
    positions: int
    equal_positions: int
    pages: int
    equal_pages: int


class KvCatalogEntry(TypedDict):
    """One version of a document on offer. ``tokens`` and ``price`` are by model; ``terms`` are its publisher's."""

    object: Literal["kv_catalog_entry"]
    document: str
    id: str
    version: int
    current: bool
    sha256: str
    publisher: str
    visibility: Visibility
    licence: str | None
    characters: int
    created: int
    tokens: dict[str, int]
    price: dict[str, ReadPrice]
    terms: dict[str, Any]
    reads: int
    read_tokens: int
    quarantined: bool
    verified: CheckedBits | None


class KvCatalog(TypedDict):
    """A page of the catalog. ``next`` continues it as ``after``; null on the last page."""

    object: Literal["list"]
    data: list[KvCatalogEntry]
    next: str | None


class HostDescription(TypedDict):
    """The host as its operator has configured it."""

    name: str
    url: str | None
    contact: str | None


class SoldModel(TypedDict):
    """A model that documents are kept for. ``prices`` are decimals: for a million tokens, and for a MB-hour."""

    id: str
    fingerprint: str
    max_context: int
    prices: dict[str, str] | None


class WellKnown(TypedDict):
    """``/.well-known/kvproxy.json``: what a reader needs to find documents, to buy reads and to verify receipts."""

    object: Literal["kvproxy_host"]
    version: str
    host: HostDescription
    jwks: dict[str, Any]
    checkpoint_key: str
    currency: str | None
    tariff: str | None
    models: list[SoldModel]
    endpoints: dict[str, str]
    payment_methods: list[str]


class QuoteBody(BaseModel):
    """The body that asks for a quote: exactly one of a chat request, a document's reference and a text's sha256.

    A request is composed as it would be served, so its quote counts the tokens that it would have.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    request: dict[str, Any] | None = Field(default=None, description="A body of POST /v1/chat/completions.")
    document: str | None = Field(
        default=None, min_length=1, description="A document by reference, as `handbook@3`."
    )
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="Of the text that would be sent, in UTF-8, with or without the white space around it.",
    )
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Of an answer, with `document` or `sha256`. Default: the configured one.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        description="The model that reads, with `document` or `sha256`. Default: the one that documents are published "
        "with.",
    )
