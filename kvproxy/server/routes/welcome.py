"""The handler of ``GET /``: links to the API and its documentation. It needs no key, so it shows public data only."""

from __future__ import annotations

from html import escape

from aiohttp import web

from kvproxy import __version__
from kvproxy.server.components import COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.middleware.wrong_url import root_of
from kvproxy.wire.service.service_types import Welcome

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {"Vary": "Accept", "Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}

_LINKS = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "models": "/v1/models",
    "documents": "/kv/v1/documents",
    "metrics": "/metrics",
    "health": "/health/ready",
}


async def welcome(request: web.Request) -> web.StreamResponse:
    """Return the links as JSON; lead browsers to the dashboard, or show them the links where it is off."""
    root = root_of(request)
    told: Welcome = {
        "object": "kvproxy",
        "version": __version__,
        "openai_base_url": f"{root}/v1",
        "anthropic_base_url": root or "/",
        "links": _LINKS,
    }
    if "text/html" not in request.headers.get("Accept", ""):
        return json_response(told, headers=_HEADERS)
    if request.app[COMPONENTS].dashboard:
        return web.Response(status=303, headers={**_HEADERS, "Cache-Control": "no-store", "Location": "/ui"})
    return web.Response(text=_page(told), content_type="text/html", charset="utf-8", headers=_HEADERS)


async def favicon(request: web.Request) -> web.StreamResponse:
    """Answer 204: there is no icon. Browsers keep that answer for a day."""
    return web.Response(status=204, headers={"Cache-Control": "public, max-age=86400"})


def _page(told: Welcome) -> str:
    links = "".join(f'<li><a href="{path}">{escape(path)}</a> ({name})</li>' for name, path in _LINKS.items())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>kvproxy</title>'
        "<style>body{font:16px/1.5 system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem}</style>"
        f"<h1>kvproxy {escape(told['version'])}</h1>"
        f"<p>base_url for OpenAI's clients: <code>{escape(told['openai_base_url'])}</code></p>"
        f"<p>base_url for Anthropic's clients: <code>{escape(told['anthropic_base_url'])}</code></p>"
        f"<ul>{links}</ul></html>"
    )
