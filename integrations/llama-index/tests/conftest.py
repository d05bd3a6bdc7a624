"""Both kinds of tests ask the proxy of KVPROXY_BASE_URL: the unit tests a fake one, the others a real one."""

from __future__ import annotations

import os
import uuid

import pytest
from llama_index.llms.kvproxy import KVProxyClient


@pytest.fixture
def client() -> KVProxyClient:
    assert os.environ.get("KVPROXY_BASE_URL"), "set KVPROXY_BASE_URL to a running proxy"
    return KVProxyClient()


@pytest.fixture
def name() -> str:
    """An unused id."""
    return f"test-{uuid.uuid4().hex[:12]}"
