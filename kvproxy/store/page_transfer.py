"""`PageTransfer`: pages that leave a store for another host, and come from one, verified on both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO

from kvproxy.store import page_file
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_record import PageRecord, Torn
from kvproxy.store.page_results import Loaded, Rejected
from kvproxy.store.stored_pages import StoredPages

MOST_HEADER = 2**20
"""Bytes that the header before a page's frames may have."""


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A stored page, as its header describes it."""

    digest: bytes
    """BLAKE3 over the digests of its frames, 32 bytes."""
    bytes: int
    """Bytes of its frames."""
    codec: str
    """The codec of its frames; empty for plain ones."""


@dataclass(frozen=True, slots=True)
class ExpectedPage:
    """The page that has to come: its place in a prefix, and the digest that its host has signed."""

    parent: bytes
    token_ids: Sequence[int]
    digest: bytes


@dataclass(frozen=True, slots=True)
class TransferredPage:
    """A page as it travels."""

    page: StoredPage
    file: bytes
    """Header and frames, as :mod:`kvproxy.store.page_record` describes them."""


class PageTransfer:
    """The pages of one host, on their way to other hosts and from them. All methods block; any thread.

    What travels is never encrypted: a seal is bound to the store's key. What is kept is packed as the store packs.

    Example:
        ``transfer.describe(stored_key(page.key, scope))``
    """

    def __init__(self, pages: StoredPages, staging: StoredPages | None = None) -> None:
        """``pages``: of any tier. ``staging``: the one that pages which came from elsewhere wait in until they were
        checked: local files alone, where ``pages`` writes to other machines too."""
        self._pages = pages
        self._staging = pages if staging is None else staging

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the engine whose pages these are."""
        return self._pages.packing.fingerprint

    def describe(self, key: bytes) -> StoredPage | None:
        """Return the digest and size of a stored page from its header alone; None where it is not there."""
        record = self._pages.record(key)
        return None if record is None else _described(record)

    def describe_outgoing(self, key: bytes) -> StoredPage | None:
        """Describe a page that travels as it is stored; None for one that does not, or is not there."""
        record = self._pages.record(key)
        return None if record is None or record.sealed else _described(record)

    def outgoing(self, key: bytes, parent: bytes, token_ids: Sequence[int]) -> TransferredPage | None:
        """Return a stored page as it travels, all of it verified: byte for byte as it is stored, or packed plain where
        its file is encrypted or in an older format. None where it is not there, or damaged.

        Example: ``transfer.outgoing(stored_key(key, scope), parent_key, token_ids)``
        """
        file = self._pages.read_file(key)
        if file is not None:
            record = page_file.read_record(BytesIO(file))
            if isinstance(record, PageRecord) and not record.sealed:
                return TransferredPage(_described(record), file)
        loaded = self._pages.get(key, parent, token_ids)
        if not isinstance(loaded, Loaded):
            return None
        own = self._pages.packing
        plain = PagePacking(own.fingerprint, own.form).pack(key, parent, token_ids, [loaded.payload])
        return TransferredPage(_described(plain.record), b"".join(plain.buffers))

    def take_in(
        self, key: bytes, file: bytes, expected: ExpectedPage, owner: str | None = None
    ) -> Rejected | None:
        """Keep a page that came from elsewhere under ``key``, once its digests are those that were signed.

        Returns the reason when it is not kept. The numbers themselves are not known to be right: the page must not be
        used before some of them were computed again. Raises StorageFull, Unavailable.

        Example: ``refused = transfer.take_in(staged_key, file, ExpectedPage(parent, token_ids, digest))``
        """
        stream = BytesIO(file)
        record = page_file.read_record(stream)
        if isinstance(record, Torn):
            return Rejected(record.reason)
        if record.sealed:
            return Rejected("it is encrypted, or in an older format")
        if record.digest != expected.digest:
            return Rejected("its digest is not the one in the manifest")
        own = self._pages.packing
        if fault := own.mismatch(record, expected.parent, expected.token_ids):
            return Rejected(fault)
        read = replace(own, seal=None).read(stream, record, None)
        if not isinstance(read, Loaded):
            return Rejected(read.reason)
        self._staging.put(key, expected.parent, expected.token_ids, read.payload, owner)
        return None

    def copy(
        self, source: bytes, key: bytes, parent: bytes, token_ids: Sequence[int], owner: str | None = None
    ) -> bool:
        """Put a stored page under another key; a page that is there already stays. Return whether one is there now.

        Raises StorageFull, Unavailable.

        Example: ``transfer.copy(staged_key, stored_key(page.key, scope), parent_key, token_ids, owner)``
        """
        if isinstance(self._pages.get(key, parent, token_ids), Loaded):
            return True
        loaded = self._pages.get(source, parent, token_ids)
        if not isinstance(loaded, Loaded):
            return False
        self._pages.put(key, parent, token_ids, loaded.payload, owner)
        return True


def _described(record: PageRecord) -> StoredPage:
    return StoredPage(record.digest, record.payload_bytes, record.codec)
