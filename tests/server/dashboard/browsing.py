"""A browser without scripts: a client that keeps cookies, follows redirects, and sends forms with their tokens."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from aiohttp import ClientResponse, CookieJar
from aiohttp.test_utils import TestClient

from kvproxy.server.app import build_app
from tests.server.doubles import Http, Proxy, RealServer, eventually

ACCEPT = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@dataclass
class Page:
    """A view that was loaded."""

    answer: ClientResponse
    text: str

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def path(self) -> str:
        """The path that the redirects have led to."""
        return self.answer.url.path_qs

    @property
    def token(self) -> str:
        """The CSRF token of its forms."""
        found = _TOKEN.search(self.text)
        assert found is not None, "the view has no form"
        return found[1]

    @property
    def words(self) -> str:
        """The text that is shown, blanks joined."""
        reader = _Words()
        reader.feed(self.text)
        return re.sub(r"\s+", " ", "".join(reader.parts))


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


@dataclass
class Browser:
    """One browser, with its own cookies."""

    http: Http

    async def get(self, path: str, **options: Any) -> Page:
        async with self.http.get(path, headers=ACCEPT | options.pop("headers", {}), **options) as answer:
            return Page(answer, await answer.text())

    async def post(self, path: str, fields: dict[str, str], **options: Any) -> Page:
        async with self.http.post(
            path, data=fields, headers=ACCEPT | options.pop("headers", {}), **options
        ) as answer:
            return Page(answer, await answer.text())

    async def log_in(self, key: str, next: str = "/ui") -> Page:
        form = await self.get("/ui/login")
        return await self.post("/ui/login", {"key": key, "next": next, "csrf": form.token})


@asynccontextmanager
async def browsing(proxy: Proxy) -> AsyncIterator[Browser]:
    """Serve a proxy to a browser."""
    server = RealServer(build_app(proxy.components))
    async with TestClient(server, cookie_jar=CookieJar(unsafe=True)) as client:
        yield Browser(client)
        await eventually(lambda: proxy.backend.check() == [])
    assert proxy.drain.in_flight == 0
