"""What every test of the server keeps to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Within a test, our own code on the event loop that blocks (files, sockets, databases, sleep) raises."""
    with blockbuster_ctx("kvproxy") as detector:
        # litellm looks for certificates on the loop of its own, where nobody else waits.
        certificates = {"get_ssl_verify", "get_ssl_configuration"}
        detector.functions["os.stat"].can_block_in("litellm/llms/custom_httpx/http_handler.py", certificates)
        yield detector
