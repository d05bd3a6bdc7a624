"""`check_file`: a document's file checked without an engine: signature, digests and sizes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from kvproxy.document_files.file_reading import DocumentFileReader
from kvproxy.document_files.file_sections import travelling_pages
from kvproxy.errors import DocumentRejected
from kvproxy.manifests.manifest import MANIFEST_TYP, Manifest
from kvproxy.manifests.manifest_claims import manifest_claims, parse_manifest
from kvproxy.manifests.trusted_hosts import Jwks
from kvproxy.receipts.canonical_jws import unverified_claims, verify_claims
from kvproxy.store import page_file
from kvproxy.store.page_record import HEADER_UNIT, Torn
from kvproxy.store.page_transfer import MOST_HEADER

MOST_TEXT = 2**30
MOST_PAGE = 2**32
"""Bytes of the largest page that is read into memory."""

_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class FileCheck:
    """A sound file."""

    manifest: Manifest
    pages: int

    @property
    def claims(self) -> Mapping[str, Any]:
        """The manifest as JSON."""
        return manifest_claims(self.manifest)


async def check_file(file: Path, jwks: Jwks | None) -> FileCheck:
    """Check every digest in a file, and with ``jwks`` its signature. Memory: one page.

    Raises SignatureRefused, and DocumentRejected, which names the section or the page.

    Example:
        ``checked = asyncio.run(check_file(Path("handbook.kvdoc"), jwks))``
    """
    reader = DocumentFileReader(_pieces(file))
    jws = await reader.manifest()
    claims = unverified_claims(jws) if jwks is None else verify_claims(jws, MANIFEST_TYP, jwks).claims
    manifest = parse_manifest(claims)
    if manifest.document.bytes > MOST_TEXT:
        raise DocumentRejected(
            f"The file's text has {manifest.document.bytes} bytes; at most {MOST_TEXT} are read."
        )
    text = await reader.text(manifest.document.bytes)
    if hashlib.sha256(text).hexdigest() != manifest.document.etag:
        raise DocumentRejected("The file's text is not the one that its manifest was signed for.")
    pages = 0
    for framing, index, page in travelling_pages(manifest):
        if page.bytes > MOST_PAGE:
            raise DocumentRejected(f"A page has {page.bytes} bytes; at most {MOST_PAGE} are read.")
        content = await reader.page(HEADER_UNIT + page.bytes, MOST_HEADER + page.bytes)
        record = page_file.read_whole(BytesIO(content))
        fault = record.reason if isinstance(record, Torn) else None
        if not isinstance(record, Torn) and record.digest.hex() != page.digest:
            fault = "its digest is not the one in the manifest"
        if fault is not None:
            raise DocumentRejected(f"Page {index} of framing '{framing.name}' is damaged: {fault}.")
        pages += 1
    await reader.end()
    return FileCheck(manifest, pages)


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(file.open, "rb") as opened:
        while piece := await asyncio.to_thread(opened.read, _PIECE):
            yield piece
