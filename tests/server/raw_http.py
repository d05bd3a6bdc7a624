"""Raw HTTP: send bytes to a proxy, and read its answers until it closes the connection or is silent."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from tests.server.doubles import Http


@dataclass(frozen=True)
class Raw:
    data: bytes
    closed: bool
    """True when the proxy ended the connection."""

    @property
    def head(self) -> str:
        return self.data.partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def version(self) -> str:
        return self.head.split(" ")[0]

    @property
    def status(self) -> int:
        return int(self.head.split(" ")[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = (line.partition(": ") for line in self.head.split("\r\n")[1:])
        return {name.lower(): value for name, _, value in lines}

    def json(self) -> Any:
        return json.loads(self.body)


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a request as bytes; ``line`` without its version is HTTP/1.1 with a Host header."""
    if " HTTP/" not in line:
        line, headers = f"{line} HTTP/1.1", ("Host: localhost", *headers)
    length = (f"Content-Length: {len(body)}",) if body and not any("ength:" in h for h in headers) else ()
    return "".join(f"{x}\r\n" for x in (line, *headers, *length, "")).encode("latin-1") + body


async def exchange(http: Http, *pieces: bytes, quiet_s: float = 0.5) -> Raw:
    """Send ``pieces`` with a pause between them; read until the proxy closes, or is silent for ``quiet_s``."""
    reader, writer = await asyncio.open_connection(http.host, http.port)
    received = b""
    closed = False
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05 if len(pieces) > 1 else 0)
        while not closed:
            chunk = await asyncio.wait_for(reader.read(65536), 30.0 if not received else quiet_s)
            received += chunk
            closed = not chunk
    except TimeoutError:
        pass
    except ConnectionError:
        closed = True
    finally:
        writer.close()
    return Raw(received, closed)
