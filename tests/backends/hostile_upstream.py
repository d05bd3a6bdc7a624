"""An upstream that means harm, on a socket and in a thread of its own: each path's first part names what it does."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

SLOW_S = 0.05
_EVENT = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "text": "hi", "delta": {"content": "hi"}, "finish_reason": None}],
}
EVENTS = b"data: " + json.dumps(_EVENT).encode() + b"\n\n"
_CHAT: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "text": "hi", "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
}
BLOCK = b"x" * 2**16

BOMB = gzip.compress(bytes(2**26), 1, mtime=0)
BOMB_OF_EVENTS = gzip.compress(EVENTS * 200_000, 1, mtime=0)


def body(**fields: Any) -> bytes:
    return json.dumps({**_CHAT, **fields}).encode()


WHOLE: dict[str, bytes] = {
    "deep": b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nan": body(usage={"prompt_tokens": float("nan"), "completion_tokens": 1, "total_tokens": float("inf")}),
    "digits": b'{"usage":{"prompt_tokens":' + b"9" * 5000 + b"}," + body()[1:],
    "big_numbers": b'{"usage":{"prompt_tokens":' + b"9" * 400 + b"}," + body()[1:],
    "not_utf8": b'{"id":"\xff\xfe\xfd"}',
    "surrogate": body(id="\ud800"),
    "nothing": b"",
    "null": b"null",
    "a_list": b"[1,2]",
    "a_text": b'"x"',
    "wrong_types": json.dumps(
        {"id": 1, "choices": {"a": [1]}, "usage": "x", "created": "y", "model": []}
    ).encode(),
    "many_values": b'{"choices":[' + b"{}," * 200_000 + b"{}]}",
    "most_values": b'{"choices":[' + b"{}," * 49_990 + b"{}]}",
    "most_values_of_an_event": b'{"choices":[' + b"{}," * 9_990 + b"{}]}",
    "most_text": body()[:-1] + b',"x":"' + b"x" * 1_000_000 + b'"}',
    "no_usage": body(
        choices=[
            {
                "index": 0,
                "text": "a" * 190_000,
                "delta": {"content": "a" * 10**5},
                "message": {"role": "assistant", "content": "a" * 10**5},
                "finish_reason": "stop",
            }
        ]
    ),
    "twice": b'{"id":1,"id":2}',
}
"""Answers of status 200, sent whole, as JSON or as one event."""


class HostileUpstream:
    """``sent`` counts the bytes of each way to harm, ``open`` its connections."""

    def __init__(self) -> None:
        self.url = ""
        self.sent: Counter[str] = Counter()
        self.open: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = "?"
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            way = head.split(b"/", 2)[1].decode()
            self.open[way] += 1
            self.asked[way] += 1
            found = re.search(rb"content-length: *([0-9]+)", head.lower())
            asked = (
                json.loads(await reader.readexactly(int(found[1]))) if found else {}
            )  # redirected: no body
            answering = asyncio.ensure_future(self._write(way, bool(asked.get("stream")), writer))
            leaving = asyncio.ensure_future(reader.read(1))
            try:
                await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            finally:
                answering.cancel()
                leaving.cancel()
                await asyncio.gather(answering, leaving, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open[way] -= 1
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _write(self, way: str, stream: bool, writer: asyncio.StreamWriter) -> None:
        async for piece in self._answer(way, stream):
            self.sent[way] += len(piece)
            writer.write(piece)
            await writer.drain()

    async def _answer(self, way: str, stream: bool) -> AsyncIterator[bytes]:
        kind = "text/event-stream" if stream else "application/json"
        if way in WHOLE:
            told = b"data: " + WHOLE[way].replace(b"chat.completion", b"chat.completion.chunk") + b"\n\n"
            yield _head(kind, length=len(told if stream else WHOLE[way])) + (told if stream else WHOLE[way])
            return
        for piece in _pieces(way, kind, stream):
            if piece is None:
                await asyncio.sleep(SLOW_S)
            else:
                yield piece


def _pieces(way: str, kind: str, stream: bool) -> Iterator[bytes | None]:
    """None is a pause."""
    start = b"data: " if stream else b'{"id":"'
    match way:
        case "endless_line":
            yield _head(kind) + _chunk(start)
            yield from _endlessly(_chunk(BLOCK))
        case "endless_short_lines":
            yield _head(kind)
            yield from _endlessly(_chunk(b"data: \n" * 1000))
        case "endless_events":
            yield _head(kind)
            yield from _endlessly(_chunk(EVENTS * 50))
        case "endless_comments":
            yield _head(kind)
            yield from _endlessly(_chunk(b": ping\n\n" * 1000))
        case "endless_blanks":
            yield _head(kind)
            yield from _endlessly(_chunk(b"\n" * 10_000))
        case "endless_line_as_ndjson":
            yield _head("application/x-ndjson") + _chunk(start)
            yield from _endlessly(_chunk(BLOCK))
        case "endless_without_chunks":
            yield (
                b"HTTP/1.1 200 OK\r\nContent-Type: "
                + kind.encode()
                + b"\r\nConnection: close\r\n\r\n"
                + start
            )
            yield from _endlessly(BLOCK)
        case "endless_error":
            yield _head("application/json", status=b"400 Bad Request") + _chunk(b'{"error":{"message":"')
            yield from _endlessly(_chunk(BLOCK))
        case "endless_headers":
            yield b"HTTP/1.1 200 OK\r\n"
            yield from _endlessly(b"X-A: b\r\n" * 1000)
        case "endless_header":
            yield b"HTTP/1.1 200 OK\r\nX-A: "
            yield from _endlessly(BLOCK)
        case "endless_status_line":
            yield b"HTTP/1.1 200 "
            yield from _endlessly(BLOCK)
        case "endless_interim":
            yield from _endlessly(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        case "endless_chunk_size":
            yield _head(kind) + b"1;"
            yield from _endlessly(BLOCK)
        case "endless_trailers":
            yield _head(kind) + _chunk(EVENTS) + b"0\r\n"
            yield from _endlessly(b"X-A: b\r\n" * 1000)
        case "drip":
            yield _head(kind) + _chunk(start)
            while True:
                yield _chunk(b"x")
                yield None
        case "drip_head":
            yield b"HTTP/1.1 200 OK\r\nX-A: "
            while True:
                yield b"x"
                yield None
        case "drip_events":
            yield _head(kind)
            while True:
                yield _chunk(EVENTS)
                yield None
        case "silent":
            while True:
                yield None
        case "gzip_bomb":
            yield _packed(kind, BOMB)
        case "gzip_bomb_of_events":
            yield _packed(kind, BOMB_OF_EVENTS)
        case "not_gzip":
            yield _packed(kind, b"no gzip at all")
        case "unknown_packing":
            yield _packed(kind, b"xxxx", name=b"x-made-up")
        case "html":
            yield _head("text/html", length=15) + b"<html>hm</html>"
        case "early_close":
            yield _head(kind) + _chunk(start + b"x")
        case "length_too_long":
            yield _head(kind, length=10**15) + EVENTS
        case "length_no_number":
            yield b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}"
        case "redirects":
            yield b"HTTP/1.1 302 Found\r\nLocation: /redirects/v1/x\r\nContent-Length: 0\r\n\r\n"
        case "retry_after":
            yield b"HTTP/1.1 429 No\r\nRetry-After: " + b"9" * 5000 + b"\r\nContent-Length: 0\r\n\r\n"
        case "no_http":
            yield b"\x00\x01\x02" * 1000
        case "slashes_in_an_error":
            told = json.dumps(
                {"error": {"message": "://" * 18_000, "type": "invalid_request_error"}}
            ).encode()
            yield _head("application/json", length=len(told), status=b"400 Bad Request") + told
        case "slashes_in_an_event":
            told = b"data: " + json.dumps({"error": {"message": "://" * 18_000}}).encode() + b"\n\n"
            yield _head(kind, length=len(told)) + told
        case _:
            raise AssertionError(way)


WAYS = (
    *WHOLE,
    *(
        "endless_line endless_short_lines endless_events endless_comments endless_blanks endless_line_as_ndjson "
        "endless_without_chunks endless_error endless_headers endless_header endless_status_line endless_interim "
        "endless_chunk_size endless_trailers drip drip_head drip_events silent gzip_bomb gzip_bomb_of_events not_gzip "
        "unknown_packing html early_close length_too_long length_no_number redirects retry_after no_http "
        "slashes_in_an_error slashes_in_an_event"
    ).split(),
)


def _head(kind: str, *, length: int | None = None, status: bytes = b"200 OK") -> bytes:
    size = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"HTTP/1.1 " + status + b"\r\nContent-Type: " + kind.encode() + b"\r\n" + size + b"\r\n\r\n"


def _packed(kind: str, data: bytes, *, name: bytes = b"gzip") -> bytes:
    return (
        _head(kind, length=len(data)).replace(b"\r\n", b"\r\nContent-Encoding: " + name + b"\r\n", 1) + data
    )


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _endlessly(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


@asynccontextmanager
async def hostile_upstream() -> AsyncIterator[HostileUpstream]:
    upstream = HostileUpstream()
    with _running(upstream):
        yield upstream


@contextmanager
def _running(upstream: HostileUpstream) -> Iterator[None]:
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    ending = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(upstream.connected, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        upstream.url = f"http://{host}:{port}"
        ready.set()
        await ending.wait()
        server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()
