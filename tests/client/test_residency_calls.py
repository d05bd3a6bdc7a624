from __future__ import annotations

import asyncio

from kvproxy.client import Client
from tests.server.doubles import client_of, make_proxy
from tests.server.routes.test_documents_route import publish


async def test_the_client_has_the_same_calls() -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)

        def calls() -> None:
            with Client(str(http.make_url("/"))) as client:
                seen: list[tuple[int, int]] = []
                assert client.pin("law/handbook")["pinned"] == 1
                assert client.unpin("law/handbook@1")["pinned"] == 0
                assert client.warm("law/handbook", progress=lambda d, t: seen.append((d, t)))["computed"] == 0

        await asyncio.to_thread(calls)
