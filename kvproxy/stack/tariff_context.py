"""`file_context`: the settings outside of a tariff file that it is read with."""

from __future__ import annotations

from kvproxy.config import Config
from kvproxy.tariffs.tariff_file import FileContext


def file_context(config: Config, *, billed: bool = True) -> FileContext:
    """Return the currency, the publishers' part and the upstreams; ``billed`` False compares no currency."""
    return FileContext(
        currency=config.billing.currency if billed else None,
        publisher_ppm=config.billing.publisher_ppm,
        upstreams={upstream.name: upstream.params["model"] for upstream in config.upstreams},
    )
