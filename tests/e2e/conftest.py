"""One proxy on the real small model for the whole folder, and a fixture of fresh tenants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends.mock_upstream import MockUpstream
from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.served import Served
from tests.e2e.upstream import upstream_thread

KEYS = tuple(f"key-of-tenant-number-{i:03}" for i in range(120))
MAX_BODY = 2**20

Fresh = Callable[[], Reader]


@pytest.fixture(scope="session")
def upstream() -> Iterator[MockUpstream]:
    with upstream_thread() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def proxy(
    smollm2: Path, upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Documents are kept at the head of the system message and of the user message."""
    params = {"model": "openai/up-1", "api_base": upstream.url, "api_key": "sk-upstream"}
    dead = {**params, "api_base": "http://127.0.0.1:9/v1"}
    config = {
        "server": {
            "max_body": MAX_BODY,
            "api_keys": [{"name": f"tenant-{i}", "key": key} for i, key in enumerate(KEYS)],
        },
        "model": {"name": MODEL},
        "documents": {"framings": [{"place": "system"}, {"place": "user"}]},
        "upstreams": [
            {"name": "far", "params": params},
            {"name": "dead", "params": dead},
            {"name": "raw", "passthrough": True, "params": params},
        ],
    }
    with Served(tmp_path_factory.mktemp("proxy"), smollm2, config) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def fresh(proxy: Served) -> Iterator[Fresh]:
    """A function that returns a tenant without earlier requests."""
    keys = iter(KEYS)
    with ExitStack() as open_clients:
        yield lambda: open_clients.enter_context(reader(proxy.url, next(keys)))


@pytest.fixture(scope="session")
def publisher(fresh: Fresh) -> Reader:
    """The tenant that publishes the documents that all may read."""
    return fresh()
