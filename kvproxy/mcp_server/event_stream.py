"""Server-sent events as they arrive, comments included: the proxy tells late facts in them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from kvproxy.client import RequestFailed


@dataclass(frozen=True, slots=True)
class Record:
    """An event with its JSON value, or a comment, with an empty ``name`` and its text in ``comment``."""

    name: str
    value: Any = None
    comment: str = ""


async def records(chunks: AsyncIterator[bytes]) -> AsyncIterator[Record]:
    """Yield the stream's events and comments in order, without OpenAI's ``[DONE]``. Raises RequestFailed for
    data that is no JSON."""
    name, data = "message", ""
    async for line in _lines(chunks):
        if line.startswith(":"):
            yield Record("", comment=line[1:].strip())
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            if data != "[DONE]":
                yield Record(name, _value(data))
            name, data = "message", ""


def _value(data: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RequestFailed("the proxy sent an event that is no JSON object")
    return value


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Split at line feeds only: httpx's own splitter also cuts at U+2028, which JSON may contain."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
