"""`well_known`: the host's own description, from which a reader finds everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy import __version__
from kvproxy.core import format_nano
from kvproxy.tariffs import Tariff
from kvproxy.wire.market.catalog_types import SoldModel, WellKnown

WELL_KNOWN = "/.well-known/kvproxy.json"
ENDPOINTS = {
    "catalog": "/kv/v1/catalog",
    "quote": "/kv/v1/quote",
    "receipts": "/kv/v1/receipts",
    "statements": "/kv/v1/statements",
    "checkpoint": "/kv/v1/checkpoint",
    "documents": "/kv/v1/documents",
    "openai": "/v1",
}
"""Paths by what they are for."""


@dataclass(frozen=True, slots=True)
class MarketHost:
    """The host: who runs it, as configured, and the model that documents are kept for."""

    name: str
    """An origin without spaces: the issuer of receipts, and the log's name."""
    model: str
    fingerprint: str
    max_context: int
    url: str | None = None
    """Its public address, without a slash at the end."""
    contact: str | None = None


def well_known(
    host: MarketHost,
    jwks: Mapping[str, Any],
    *,
    checkpoint_key: str,
    tariff: Tariff | None,
    payment_methods: Sequence[str] = (),
) -> WellKnown:
    """Return the description. ``tariff``: the one that is valid now.

    Example:
        ``well_known(host, keys.jwks(), checkpoint_key=key, tariff=tariffs.at(now_ms))["jwks"]``
    """
    prices = None if tariff is None else tariff.prices(host.model)
    told = None
    if prices is not None:
        told = {
            name: format_nano(getattr(prices, name))
            for name in ("input", "cached_input", "output", "publishing", "storage_mb_hour")
        }
    model: SoldModel = {
        "id": host.model,
        "fingerprint": host.fingerprint,
        "max_context": host.max_context,
        "prices": told,
    }
    return {
        "object": "kvproxy_host",
        "version": __version__,
        "host": {"name": host.name, "url": host.url, "contact": host.contact},
        "jwks": dict(jwks),
        "checkpoint_key": checkpoint_key,
        "currency": None if tariff is None else tariff.currency,
        "tariff": None if tariff is None else tariff.id,
        "models": [model],
        "endpoints": {name: f"{host.url or ''}{path}" for name, path in ENDPOINTS.items()},
        "payment_methods": list(payment_methods),
    }
