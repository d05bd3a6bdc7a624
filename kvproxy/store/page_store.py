"""`PageStore`: a killed, torn or tampered disk may lose a page, and never changes one."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from kvproxy.codecs.page_codec import PageCodec
from kvproxy.core.page_form import PageForm
from kvproxy.core.page_seal import PageSeal
from kvproxy.errors import Unavailable
from kvproxy.store import page_file, page_record
from kvproxy.store.compression_choice import CompressionChoice
from kvproxy.store.disk import PageBuffers, PageDisk, page_name
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_record import PageRecord, Torn
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected, StoreUsage
from kvproxy.store.page_rows import KEY_BYTES, PageRows
from kvproxy.store.store_folder import FolderLock, check_own, index_faults, make_folder, page_files
from kvproxy.store.stored_pages import Tier

logger = logging.getLogger(__name__)


class PageStore:
    """Pages of published documents by page key. All methods may be called from any thread.

    ``has`` and ``usage`` do no I/O. ``get`` from several threads runs in parallel (reading and hashing release the
    GIL). Writers wait for one another.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_size: int,
        fingerprint: str,
        disk: type[PageDisk] = PageDisk,
        form: PageForm | None = None,
        codec: PageCodec | None = None,
        seal: PageSeal | None = None,
        decoder: Callable[[str], PageCodec | None] = lambda name: None,
        compress: CompressionChoice | None = None,
    ) -> None:
        """Open or create the store; ``max_size`` in bytes. Raises SetupError: not writable, or in use elsewhere.

        ``form``: that of the engine's pages, which are then stored in frames, and read a layer at a time; ``codec`` and
        ``seal`` encode what is put from now on, and need it. Pages of other codecs are read with what ``decoder``
        returns for their names. ``compress`` chooses the pages that are compressed; without it all are.

        Example: ``PageStore(Path("/var/lib/kvproxy"), max_size=20 * 2**30, fingerprint=model.fingerprint, form=form)``
        """
        self.packing = PagePacking(fingerprint, form, codec, seal, decoder)
        self.loaded = 0
        """Pages read so far, for figures: a lost count is no harm."""
        self._compress = compress or CompressionChoice(always=True)
        self._folder = folder / "pages"
        check_own(folder)
        make_folder(folder)
        make_folder(self._folder)
        self._lock = FolderLock(folder)
        self._write = threading.RLock()
        try:
            self._index = PageRows(self._folder, max_size, disk)
        except BaseException:
            self._lock.release()
            raise
        self._sizes: Mapping[bytes, int] = self._index.shares.sizes

    def put(
        self,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        payload: Buffer | Sequence[Buffer],
        owner: str | None = None,
    ) -> None:
        """Write a page; it is on the medium when this returns. A sound equal page is left as it is.

        ``owner``: the publisher that it is counted for; without one, the owner it was counted for before. A full store
        makes room as ``PublisherShares`` says.

        ``payload``: contiguous buffers of any item type, in the form's order; one that is plain is not copied. Raises
        StorageFull (``max_size``, or the disk) and Unavailable (the disk fails otherwise); either way the store is as
        it was. ValueError for a key that is not 32 bytes, ids outside uint32, or a payload of another form.

        Example: ``store.put(key, parent_key, token_ids, pool.read(page), owner="tenant:a")``
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"a page key has {KEY_BYTES} bytes, not {len(key)}")
        compress = self._compress.wanted(self._index.shares.used, self._index.shares.max_size)
        packed = self.packing.pack(key, parent, token_ids, page_file.flat(payload), compress=compress)
        self._write_page(packed.record, PageBuffers(packed.buffers), owner)

    def get(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
    ) -> Loaded | Missing | Rejected:
        """Read a page and verify all of it: fingerprint, key, parent, token ids, checksums.

        ``into``: a writable contiguous buffer, which saves the page faults of a fresh one (half of the time); a payload
        may be shorter than it, and is its front then. Or a `LayerRoom`, which gets each layer as soon as it is
        verified. Its content is undefined unless Loaded is returned.

        Example: ``isinstance(store.get(key, parent_key, token_ids), Loaded)``
        """
        file = self._index.open_page(key)
        if file is None:
            return Missing()
        if isinstance(file, str):
            return self._reject(key, file, None)
        with file:
            identity = page_file.identity(file)
            record = page_file.read_record(file)
            if isinstance(record, Torn):
                return self._reject(key, record.reason, identity)
            if record.key != key:
                return self._reject(key, "the file holds another page's key", identity)
            fault = self.packing.mismatch(record, parent, token_ids)
            if fault is not None:
                # The page may be sound and the question wrong: it stays.
                return self._reject(key, fault, None, drop=False)
            began = time.perf_counter()
            result = self.packing.read(file, record, into)
            if isinstance(result, Loaded):
                self.loaded += 1
                if not record.codec:
                    self._compress.note_read(record.payload_bytes, began)
                return result
            return self._reject(key, result.reason, identity, drop=isinstance(result, Torn))

    def digest(self, key: bytes) -> bytes | None:
        """Return the digest of a page as manifests name it, from its header alone: 32 bytes.

        None without a sound header. The frames are not read: only ``get`` says whether they are sound.
        """
        record = self.record(key)
        return None if record is None else record.digest

    def record(self, key: bytes) -> PageRecord | None:
        """Return a page's header, of format 2; None without a sound one. The frames are not read."""
        file = self._index.open_page(key)
        if not isinstance(file, FileIO):
            return None
        with file:
            record = page_file.read_record(file)
        sound = isinstance(record, PageRecord) and record.key == key
        return record if isinstance(record, PageRecord) and sound else None

    def read_file(self, key: bytes) -> bytes | None:
        """Return a page's file byte for byte, as object stores and exports have it; None without one, or damaged."""
        file = self._index.open_page(key)
        if not isinstance(file, FileIO):
            return None
        with file:
            record = page_file.read_whole(file)
            if isinstance(record, Torn) or record.key != key:
                return None
            file.seek(0)
            content = bytearray(os.fstat(file.fileno()).st_size)
            torn = page_file.fill(file, memoryview(content))
        return bytes(content) if torn is None else None

    def put_file(self, key: bytes, content: bytes, owner: str | None = None) -> Rejected | None:
        """Keep a page's file that :meth:`read_file` of another store gave, once all its checksums are right.

        Returns the reason when it is not kept: damaged, another page's, of another engine, codec or key. What the
        numbers are is not known from that: who imports pages of others computes some of them again. Raises as
        :meth:`put`.

        Example: ``refused = store.put_file(key, fetched)``
        """
        record = self.packing.verify(key, content)
        if isinstance(record, Rejected):
            return record
        self._write_page(record, PageBuffers((content,)), owner)
        return None

    def has(self, key: bytes) -> bool:
        """Return whether the index lists the page; only ``get`` says whether it is sound."""
        return key in self._sizes

    def tier(self, key: bytes) -> Tier | None:
        """Return ``disk`` for a page that the index lists. Stores of several tiers answer with others too."""
        return "disk" if self.has(key) else None

    def keys(self) -> Collection[bytes]:
        """Return the keys of all pages at this moment."""
        with self._write:
            return tuple(self._sizes)

    def delete(self, keys: Iterable[bytes]) -> int:
        """Drop pages; return the number that there were. Raises Unavailable when the index cannot be written."""
        with self._write:
            dropped = list(keys)
            number = self._index.drop([k for k in dropped if self.has(k)])
            for key in dropped:
                self._index.shares.forget(key)
            return number

    def assign(self, owners: Mapping[bytes, str]) -> None:
        """Count the pages for these publishers. Other pages have no owner, and are the first to make room."""
        with self._write:
            self._index.shares.assign(owners)

    def collect(self, keep: Collection[bytes]) -> int:
        """Drop every page outside ``keep``, of any fingerprint, and all other files and rows.

        Return the number of pages. Call it when no publish is running: its pages are in no manifest yet.
        """
        wanted = keep if isinstance(keep, set | frozenset) else frozenset(keep)
        with self._write:
            doomed = [k for k in self._index.rows() if k not in wanted or k not in self._sizes]
            dropped = self._index.drop(doomed)
            self._index.sweep()
        return dropped

    def usage(self) -> StoreUsage:
        """Return the number and size of the pages."""
        return StoreUsage(len(self._sizes), self._index.shares.used, self._index.shares.max_size)

    def check(self) -> list[str]:
        """Return every fault in words; empty when sound. Reads and verifies each page, of any fingerprint."""
        with self._write:
            faults = [f"index: {x}" for x in index_faults(self._folder)]
            rows = self._index.rows()
            strays = set(page_files(self._folder)) - {page_name(k) for k in self._sizes}
        faults += [f"row {key!r} is no page of this store" for key in rows if key not in self._sizes]
        faults += [f"page {key.hex()} is listed, but has no row" for key in set(self._sizes) - set(rows)]
        faults += [f"file {x} belongs to no page" for x in sorted(strays)]
        for key in tuple(self._sizes):
            reason = self._fault(key)
            faults += [] if reason is None else [f"page {key.hex()}: {reason}"]
        return faults

    def close(self) -> None:
        """Close the index and release the lock. Idempotent. Other threads must be done."""
        self._index.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fault(self, key: bytes) -> str | None:
        """Return the reason why a listed page is not sound; None when it is, or was deleted meanwhile."""
        file = self._index.open_page(key)
        if not isinstance(file, FileIO):
            return file
        with file:
            record = page_file.read_whole(file)
        if isinstance(record, Torn):
            return record.reason
        return None if record.key == key else "the file holds another page's key"

    def _reject(
        self, key: bytes, reason: str, identity: tuple[int, int] | None, *, drop: bool = True
    ) -> Rejected:
        logger.warning("page %s rejected: %s", key.hex(), reason)
        if drop:
            with self._write:
                # A page put anew since it was read is another file and stays.
                file = self._index.open_page(key)
                same = not isinstance(file, FileIO) or page_file.identity(file) == identity
                if isinstance(file, FileIO):
                    file.close()
                if same:
                    self._try_drop(key)
        return Rejected(reason)

    def _try_drop(self, key: bytes) -> None:
        try:
            self._index.drop([key])
        except Unavailable:
            logger.exception("cannot drop rejected page %s", key.hex())

    def _write_page(self, record: PageRecord, page: PageBuffers, owner: str | None) -> None:
        key = record.key
        with self._write:
            if self.has(key):
                old = self._index.open_page(key)
                if isinstance(old, FileIO):
                    with old:
                        if page_record.same_page(page_file.read_whole(old), record):
                            return
                self._index.drop([key])
            self._index.admit(page.bytes, self._index.shares.owner(key) if owner is None else owner)
            self._index.insert(key, page, owner)
