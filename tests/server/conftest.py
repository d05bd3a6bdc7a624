"""Fixtures of all server tests: no blocking calls on the event loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Raise for calls of kvproxy's own code that block the event loop (files, sockets, databases, sleep)."""
    with blockbuster_ctx("kvproxy") as detector:
        # litellm looks for certificates on a loop of its own, which serves no requests.
        certificates = {"get_ssl_verify", "get_ssl_configuration"}
        detector.functions["os.stat"].can_block_in("litellm/llms/custom_httpx/http_handler.py", certificates)
        yield detector
