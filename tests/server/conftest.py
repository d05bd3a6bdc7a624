"""Fixtures of all server tests: no blocking calls on the event loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.server.market_double import MarketProxy, market_proxy


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Raise for calls of kvproxy's own code that block the event loop (files, sockets, databases, sleep)."""
    with blockbuster_ctx("kvproxy") as detector:
        # litellm looks for certificates on a loop of its own, which serves no requests.
        certificates = {"get_ssl_verify", "get_ssl_configuration"}
        detector.functions["os.stat"].can_block_in("litellm/llms/custom_httpx/http_handler.py", certificates)
        yield detector


@pytest.fixture
def made(tmp_path: Path) -> Iterator[MarketProxy]:
    """A proxy with a market, whose model has a price."""
    with market_proxy(tmp_path) as made:
        yield made


@pytest.fixture
def unpriced(tmp_path: Path) -> Iterator[MarketProxy]:
    """A proxy with a market and no tariff."""
    with market_proxy(tmp_path, priced=False) as made:
        yield made
