"""A fake proxy, and the SDK's own client beside a server for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from kvproxy.mcp_server.document_server import DocumentServer
from kvproxy.mcp_server.remote import Remote
from tests.fake_proxy import FakeProxy, running


@pytest.fixture
def proxy() -> Iterator[FakeProxy]:
    with running() as proxy:
        yield proxy


@asynccontextmanager
async def connected(url: str, *, api_key: str | None = None, **options: Any) -> AsyncIterator[Client]:
    """A client of a server for the proxy at ``url``, in this process."""
    async with Remote(url, api_key) as remote, Client(DocumentServer(remote, **options)) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured content of a call that worked."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, words(result)
    content: Any = result.structured_content
    assert isinstance(content, dict)
    return content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The text of a call that did not work."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error and result.structured_content is None
    return words(result)


def words(result: CallToolResult) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))
