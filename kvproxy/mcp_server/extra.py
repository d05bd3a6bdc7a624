"""The way into this package for the command: with the extra a server that runs, without it one sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kvproxy.errors import SetupError
from kvproxy.mcp_server.exposure import Exposure
from kvproxy.mcp_server.root_folder import RootFolder


@dataclass(frozen=True, slots=True)
class McpOptions:
    """A server for the proxy at ``url``: over HTTP where there is an ``exposure``, else over the standard streams.
    Files are read below ``root`` alone."""

    url: str
    api_key: str | None
    exposure: Exposure | None
    root: Path | None
    allow_delete: bool


def run_mcp(options: McpOptions, announce: Callable[[str], None]) -> None:
    """Serve until the client or a signal ends it. Raises SetupError, also where the SDK is missing."""
    # Before the SDK does it, in columns for a terminal. On stderr: stdout is the protocol's.
    logging.basicConfig(level=logging.WARNING, format="kvproxy mcp: %(message)s")
    root = None if options.root is None else RootFolder(options.root)
    try:
        import anyio

        from kvproxy.mcp_server.document_server import DocumentServer
        from kvproxy.mcp_server.remote import Remote
        from kvproxy.mcp_server.transports import serve_http
    except ImportError as e:
        if (e.name or "").split(".")[0] not in ("mcp", "anyio", "starlette", "uvicorn"):
            raise
        raise SetupError("`kvproxy mcp` needs the MCP SDK, version 2: pip install 'kvproxy[mcp]'") from e

    async def serve() -> None:
        async with Remote(options.url, options.api_key) as remote:
            server = DocumentServer(remote, root=root, allow_delete=options.allow_delete)
            if options.exposure is None:
                await server.run_stdio_async()
            else:
                await serve_http(server, options.exposure, announce)

    anyio.run(serve)
