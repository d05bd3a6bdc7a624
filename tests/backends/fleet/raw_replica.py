"""A server that answers byte for byte what a test says: for what no engine should send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

Pieces = tuple[bytes | float, ...]
"""Bytes to send, and seconds to wait between them."""


def head(status: int = 200, more: str = "") -> bytes:
    """Return the head of an answer that ends with its connection."""
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: text/event-stream\r\nConnection: close\r\n{more}\r\n".encode()
    )


@asynccontextmanager
async def raw_replica(*pieces: bytes | float) -> AsyncIterator[str]:
    """Serve one answer again and again; yields the address.

    Example: ``async with raw_replica(head(), b"data: {}\\n\\n") as url: ...``
    """
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            sent = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(x[15:]) for x in sent.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0
            )
            await reader.readexactly(length)
            for piece in pieces:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                else:
                    await asyncio.sleep(piece)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
