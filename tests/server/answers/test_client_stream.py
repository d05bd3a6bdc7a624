from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from tests.server.doubles import ask, client_of, eventually, make_proxy


async def test_a_client_that_stops_reading_delays_no_other_and_is_cut_at_the_end() -> None:
    """Its socket fills, the handler waits in a write, others are served, and the drain still ends."""
    proxy = make_proxy(drain_timeout_s=0.05)
    proxy.misses.text = "x" * 24_000_000
    async with client_of(proxy) as http:
        reader, writer = await asyncio.open_connection(http.host, http.port, limit=1024)
        body = json.dumps({"model": "gpt-far", "messages": [], "stream": True}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        assert await reader.read(100) != b""
        await asyncio.sleep(0.05)
        assert proxy.misses.open_streams == 1
        assert (await http.post("/v1/chat/completions", json=ask())).status == 200
        proxy.drain.begin()
        await proxy.drain.finish()
        await eventually(lambda: proxy.misses.open_streams == 0)
        rest = b""
        with suppress(ConnectionResetError):
            async with asyncio.timeout(30):
                while received := await reader.read(2**20):
                    rest += received
        assert len(rest) < len(proxy.misses.text)
        assert b"HTTP/1.1 503" not in rest
        writer.close()
