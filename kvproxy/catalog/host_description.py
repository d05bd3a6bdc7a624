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
class HostedModel:
    """One model whose KV this host manages."""

    name: str
    fingerprint: str
    """Of the engine or of the fleet: what the values of its KV depend on."""
    max_context: int


@dataclass(frozen=True, slots=True)
class MarketHost:
    """The host: who runs it, as configured, and the models that documents are kept for."""

    name: str
    """An origin without spaces: the issuer of receipts, and the log's name."""
    models: tuple[HostedModel, ...]
    """At least one; the first is the one that documents are published with."""
    url: str | None = None
    """Its public address, without a slash at the end."""
    contact: str | None = None

    @property
    def model(self) -> str:
        """The first model's name."""
        return self.models[0].name

    @property
    def fingerprint(self) -> str:
        """The first model's fingerprint."""
        return self.models[0].fingerprint

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints by the models' names."""
        return {model.name: model.fingerprint for model in self.models}


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
    return {
        "object": "kvproxy_host",
        "version": __version__,
        "host": {"name": host.name, "url": host.url, "contact": host.contact},
        "jwks": dict(jwks),
        "checkpoint_key": checkpoint_key,
        "currency": None if tariff is None else tariff.currency,
        "tariff": None if tariff is None else tariff.id,
        "models": [_sold(model, tariff) for model in host.models],
        "endpoints": {name: f"{host.url or ''}{path}" for name, path in ENDPOINTS.items()},
        "payment_methods": list(payment_methods),
    }


def _sold(model: HostedModel, tariff: Tariff | None) -> SoldModel:
    prices = None if tariff is None else tariff.prices(model.name)
    told = None
    if prices is not None:
        told = {
            name: format_nano(getattr(prices, name))
            for name in ("input", "cached_input", "output", "publishing", "storage_mb_hour")
        }
    return {
        "id": model.name,
        "fingerprint": model.fingerprint,
        "max_context": model.max_context,
        "prices": told,
    }
