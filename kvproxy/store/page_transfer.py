"""`PageTransfer`: pages as files that leave a store and come to another one, verified on both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO

from blake3 import blake3

from kvproxy.store import page_file
from kvproxy.store.page_record import Torn
from kvproxy.store.page_store import PageStore


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A stored page, as its header describes it."""

    digest: bytes
    """BLAKE3 of its frames, 32 bytes."""
    bytes: int
    """Bytes of its frames."""
    codec: str
    """The codec of its frames; empty for plain ones."""


@dataclass(frozen=True, slots=True)
class ArrivedPage:
    """A page that came from elsewhere: sound, and the one that was expected."""

    payload: memoryview


@dataclass(frozen=True, slots=True)
class ExpectedPage:
    """The page that has to come."""

    fingerprint: str
    parent: bytes
    token_ids: Sequence[int]
    digest: bytes


class PageTransfer:
    """Pages of one store. All methods block; any thread.

    Example:
        ``transfer.describe(stored_key(page.key, scope))``
    """

    def __init__(self, store: PageStore) -> None:
        self._store = store

    def describe(self, key: bytes) -> StoredPage | None:
        """Return the digest and size of a stored page from its header alone; None where it is not there."""
        file = self._store._open_page(key)
        if not isinstance(file, FileIO):
            return None
        with file:
            record = page_file.read_record(file)
        if isinstance(record, Torn):
            return None
        return StoredPage(blake3(record.payload_sha256).digest(), record.payload_bytes, "")
