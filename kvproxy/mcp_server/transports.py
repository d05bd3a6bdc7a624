"""The two ways to speak to the MCP server: the standard streams of this process, and streamable HTTP."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from kvproxy.errors import SetupError
from kvproxy.mcp_server.bearer_gate import BearerGate
from kvproxy.mcp_server.document_server import DocumentServer
from kvproxy.mcp_server.exposure import Exposure

PATH = "/mcp"
_MAX_BODY = 64 * 2**20
"""Twice the proxy's default limit of a text: JSON escapes make it longer."""
_BACKLOG = 128


async def serve_http(server: DocumentServer, exposure: Exposure, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``announce`` gets the URL once the address is bound. Raises SetupError where it
    cannot be.

    Example: ``serve_http(server, read_exposure("127.0.0.1:8322", None), print)``
    """
    with _bound(exposure) as listening:
        host = f"[{exposure.host}]" if ":" in exposure.host else exposure.host
        announce(f"http://{host}:{listening.getsockname()[1]}{PATH}")
        config = uvicorn.Config(
            http_app(server, exposure), log_level="warning", access_log=False, timeout_graceful_shutdown=5
        )
        await uvicorn.Server(config).serve(sockets=[listening])


def http_app(server: DocumentServer, exposure: Exposure) -> ASGIApp:
    """Return the ASGI application at ``/mcp``, protected as ``exposure`` says."""
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=exposure.hosts,
        allowed_origins=exposure.origins,
    )
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        transport_security=security,
        max_request_body_size=_MAX_BODY,
        host=exposure.host,
    )
    return app if exposure.token is None else BearerGate(app, exposure.token)


def _bound(exposure: Exposure) -> socket.socket:
    try:
        return socket.create_server(
            (exposure.host, exposure.port),
            family=socket.AF_INET6 if ":" in exposure.host else socket.AF_INET,
            backlog=_BACKLOG,
        )
    except OSError as e:
        # socket.create_server adds the address to the words; those of a name that is unknown have a negative number.
        why = os.strerror(e.errno) if e.errno and e.errno > 0 else e.strerror
        raise SetupError(f"cannot listen on {exposure.host}:{exposure.port}: {why}") from e
