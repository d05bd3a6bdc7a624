"""`DocumentFileReader`: reads a document's file as it comes, a section at a time, and refuses the first wrong byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from blake3 import blake3

from kvproxy.document_files.file_sections import (
    END,
    END_BYTES,
    HEAD_BYTES,
    MAGIC,
    MANIFEST,
    PAGE,
    TEXT,
    parse_head,
)
from kvproxy.errors import DocumentRejected, SignatureRefused
from kvproxy.manifests.trusted_hosts import MOST_MANIFEST

_NAMES = {MANIFEST: "manifest", TEXT: "text", PAGE: "page", END: "end"}

_PIECE = 2**20
"""Bytes of a skipped section that are in memory at a time, and of one that is hashed on the event loop."""


class DocumentFileReader:
    """One file, read once from its beginning. Memory: one section, and never more than the caller allows for it.

    Every method raises DocumentRejected where the file ends early or is another than it has to be.

    Example:
        ``jws = await DocumentFileReader(request.content.iter_chunked(2**16)).manifest()``
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()
        self._hash = blake3()

    async def manifest(self) -> str:
        """Read the magic and the manifest's JWS, unverified."""
        magic = await self._take(len(MAGIC), "magic")
        if magic != MAGIC:
            raise DocumentRejected(
                "This is no document file of kvproxy: write one with `kvproxy docs export`. Archives and pickles are "
                "not read."
            )
        content = await self._section(MANIFEST, 1, MOST_MANIFEST)
        try:
            return content.decode("ascii")
        except UnicodeDecodeError:
            raise SignatureRefused("The file's manifest is no compact JWS.") from None

    async def text(self, size: int) -> bytes:
        """Read the text, which has ``size`` bytes."""
        return await self._section(TEXT, size, size)

    async def page(self, least: int, most: int) -> bytes:
        """Read the next page's file, of ``least`` to ``most`` bytes."""
        return await self._section(PAGE, least, most)

    async def skip_page(self, least: int, most: int) -> None:
        """Read over the next page's file, of ``least`` to ``most`` bytes."""
        left = await self._head(PAGE, least, most)
        while left:
            left -= len(await self._take(min(left, _PIECE), "page"))

    async def end(self) -> None:
        """Read the end: the digest of all before it, and nothing behind it."""
        digest = self._hash.digest()
        if await self._section(END, END_BYTES, END_BYTES) != digest:
            raise DocumentRejected("The file is damaged: its digest is another one. Copy it again.")
        more: bytes | None = await anext(self._chunks, None)
        if self._buffer or more:
            raise DocumentRejected("The file goes on behind its end. Export it again.")

    async def _section(self, tag: bytes, least: int, most: int) -> bytes:
        return await self._take(await self._head(tag, least, most), _NAMES[tag])

    async def _head(self, tag: bytes, least: int, most: int) -> int:
        found, length = parse_head(await self._take(HEAD_BYTES, _NAMES[tag]))
        if found != tag:
            named = _NAMES.get(found, "unknown section")
            raise DocumentRejected(f"The file has its {named} where the {_NAMES[tag]} has to be.")
        if not least <= length <= most:
            bounds = str(least) if least == most else f"{least} to {most}"
            raise DocumentRejected(f"The file's {_NAMES[tag]} has {length} bytes, and must have {bounds}.")
        return length

    async def _take(self, size: int, what: str) -> bytes:
        """Return exactly ``size`` bytes, which then count for the file's digest."""
        while len(self._buffer) < size:
            chunk: bytes | None = await anext(self._chunks, None)
            if chunk is None:
                raise DocumentRejected(
                    f"The file ends inside its {what}: it was cut short. Copy it again, or export it again."
                )
            self._buffer += chunk
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        if size > _PIECE:
            await asyncio.to_thread(self._hash.update, taken)
        else:
            self._hash.update(taken)
        return taken
