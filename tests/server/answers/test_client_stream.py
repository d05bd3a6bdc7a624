from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest

from kvproxy.reply import Reply
from kvproxy.server.answers.client_stream import SseStream
from tests.server.doubles import ask, client_of, eventually, make_proxy

END = b"data: [DONE]\n\n"


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


async def _never(*_: object) -> None:
    await asyncio.sleep(3600)


@pytest.fixture
def unclosed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer takes for ever to close, until its request is cancelled."""
    closed = Reply.aclose

    async def late(self: Reply) -> None:
        try:
            await _never()
        finally:
            await closed(self)

    monkeypatch.setattr(Reply, "aclose", late)


@pytest.mark.parametrize("model", ["fake", "gpt-far"])
async def test_a_client_that_leaves_at_the_last_event_has_had_the_whole_answer(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's closes the connection at ``[DONE]``, before the stream has ended: its request is none that was left."""
    monkeypatch.setattr(SseStream, "_end", _never)
    proxy = make_proxy()
    async with client_of(proxy) as http:
        response = await http.post("/v1/chat/completions", json=ask(model=model, stream=True))
        await response.content.readuntil(END)
        response.close()
        await eventually(lambda: proxy.drain.in_flight == 0)
        [entry] = (await (await http.get("/kv/v1/requests")).json())["data"]
        assert entry["status"] == 200 and entry["outcome"] == ("miss" if model == "fake" else "bypass")
        assert 'status="499"' not in await (await http.get("/metrics")).text()


@pytest.mark.usefixtures("unclosed")
async def test_it_has_had_it_while_the_answer_is_put_away_too() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        response = await http.post("/v1/chat/completions", json=ask(stream=True))
        await response.content.readuntil(END)
        response.close()
        await eventually(lambda: proxy.drain.in_flight == 0)
        [entry] = (await (await http.get("/kv/v1/requests")).json())["data"]
        assert (entry["status"], entry["outcome"]) == (200, "miss")


@pytest.mark.usefixtures("unclosed")
async def test_a_client_that_leaves_between_two_answers_of_one_stream_has_left() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        asked = {"model": "fake", "prompt": ["one", "two"], "stream": True}
        response = await http.post("/v1/completions", json=asked)
        await response.content.readuntil(b'"finish_reason":"stop"')
        response.close()
        await eventually(lambda: proxy.drain.in_flight == 0)
        [entry] = (await (await http.get("/kv/v1/requests")).json())["data"]
        assert (entry["status"], entry["outcome"]) == (499, "left")
