"""Handlers of ``GET /openapi.json`` and ``GET /docs``: the API's description as JSON and as HTML."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from kvproxy.server.openapi.docs_page import page
from kvproxy.wire.bodies.json_text import encode


@dataclass(frozen=True, slots=True)
class _Rendered:
    body: bytes
    etag: str
    content_type: str


class ReferencePages:
    """The OpenAPI document and its HTML page, made at the first request. ``describe`` makes the document; it takes some
    tenths of a second, so it runs once, in a thread."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe
        self._making = asyncio.Lock()
        self._made: tuple[_Rendered, _Rendered] | None = None

    async def document(self) -> _Rendered:
        """Return the OpenAPI document as JSON."""
        return (await self._both())[0]

    async def page(self) -> _Rendered:
        """Return the HTML page."""
        return (await self._both())[1]

    async def _both(self) -> tuple[_Rendered, _Rendered]:
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
            return self._made

    def _make(self) -> tuple[_Rendered, _Rendered]:
        document = self._describe()
        return (
            _rendered(encode(document), "application/json"),
            _rendered(page(document).encode("utf-8"), "text/html"),
        )


REFERENCE = web.AppKey("REFERENCE", ReferencePages)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The page runs no script and loads no resource."""


async def openapi(request: web.Request) -> web.StreamResponse:
    """Answer with the OpenAPI document, or 304."""
    return _answer(request, await request.app[REFERENCE].document())


async def docs(request: web.Request) -> web.StreamResponse:
    """Answer with the HTML page, or 304."""
    return _answer(request, await request.app[REFERENCE].page())


def _answer(request: web.Request, rendered: _Rendered) -> web.StreamResponse:
    headers = {
        "ETag": f'"{rendered.etag}"',
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
    }
    if any(tag.value in ("*", rendered.etag) for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    charset = "utf-8" if rendered.content_type.startswith("text/") else None
    return web.Response(
        body=rendered.body, headers=headers, content_type=rendered.content_type, charset=charset
    )


def _rendered(body: bytes, content_type: str) -> _Rendered:
    return _Rendered(body, hashlib.sha256(body).hexdigest(), content_type)
