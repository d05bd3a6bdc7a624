"""What every test of the server keeps to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Within a test, our own code on the event loop that blocks (files, sockets, databases, sleep) raises."""
    with blockbuster_ctx("kvproxy") as detector:
        yield detector
