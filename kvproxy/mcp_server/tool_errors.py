"""A foreseen failure as the tool error that an agent reads: the proxy's own words, and no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcp.server.mcpserver.exceptions import ToolError

from kvproxy.errors import KVProxyError


@contextmanager
def as_tool_error() -> Iterator[None]:
    """Turn foreseen failures inside of the block into errors that an agent reads."""
    try:
        yield
    except KVProxyError as e:
        raise ToolError(e.message) from e
