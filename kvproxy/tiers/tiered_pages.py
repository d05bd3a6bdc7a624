"""`TieredPages`: pages in local files, and behind them in an object store that other proxies share.

The engine's view of both is that of one page store. Every page is verified by the same code wherever it comes from, so
an object store that is slow, fails or damages what it holds can lose a page, or take time, and never change one. Pages
are authentic where they are encrypted: without a key, who may write to the store can make a page with right checksums.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from kvproxy.errors import Unavailable
from kvproxy.objects.object_pages import ObjectPages
from kvproxy.store import page_file, page_record
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_record import PageRecord, Torn
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected, StoreUsage
from kvproxy.store.page_store import PageStore
from kvproxy.store.stored_pages import Tier
from kvproxy.tiers.name_listing import NameListing
from kvproxy.tiers.pending_deletes import PendingDeletes
from kvproxy.tiers.write_behind import WriteBehind

Acknowledge = Literal["local", "objects"]


@dataclass(slots=True)
class TierCounts:
    """Pages read, by where they were found. Counts that only grow, for figures: a lost count is no harm."""

    objects: int = 0
    missing: int = 0
    """Found in neither."""
    rejected: int = 0
    """Not read from the object store, or read and not used."""


class TieredPages:
    """Implements ``StoredPages``. All methods may be called from any thread; ``has`` and ``tier`` do no
    I/O. The local store belongs to the caller, who closes it after this.

    Example:
        ``pages = TieredPages(local, objects, PendingDeletes(folder / FILE), acknowledge="local")``
    """

    def __init__(
        self,
        local: PageStore,
        objects: ObjectPages,
        deletes: PendingDeletes,
        *,
        acknowledge: Acknowledge = "local",
        relist_s: float = 300.0,
    ) -> None:
        """Start the threads that write behind and list.

        ``acknowledge``: ``objects`` lets ``put`` return only when the object store has the page as well. ``relist_s``:
        seconds between two listings.
        """
        self.local, self.objects = local, objects
        self.counts = TierCounts()
        self.behind = WriteBehind(local, objects, deletes)
        self._deletes = deletes
        self._acknowledge = acknowledge
        self._released: set[bytes] = set()
        """Pages whose objects another proxy deletes."""
        self._listing = NameListing(objects, relist_s, self.behind.resume)

    def wait_for_names(self, timeout_s: float) -> bool:
        """Wait until the store was listed once, or failed to be; return whether its names are known."""
        return self._listing.wait(timeout_s)

    def put(
        self,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        payload: Buffer | Sequence[Buffer],
        owner: str | None = None,
    ) -> None:
        """Write a page to a local file, then queue it for the object store; see ``PageStore.put``.

        Raises Unavailable, too, where ``acknowledge`` is ``objects`` and the object store does not take it; the local
        file stays then.

        Example: ``pages.put(key, parent_key, token_ids, payload, owner="tenant:a")``
        """
        self.local.put(key, parent, token_ids, payload, owner)
        self._stored(key)

    def get(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
    ) -> Loaded | Missing | Rejected:
        """Read a page from its local file, or from the object store; see ``PageStore.get``.

        A page from the object store is kept in a local file afterwards, where there is room without dropping another.

        Example: ``pages.get(key, parent_key, token_ids, into=buffer)``
        """
        found = self.local.get(key, parent, token_ids, into)
        if isinstance(found, Loaded):
            return found
        fetched = Missing() if key in self._deletes else self._fetch(key, parent, token_ids, into)
        if isinstance(fetched, Loaded):
            self.counts.objects += 1
            return fetched
        if isinstance(fetched, Rejected):
            self.counts.rejected += 1
        else:
            self.counts.missing += 1
        return found if isinstance(found, Rejected) else fetched

    @property
    def packing(self) -> PagePacking:
        """The form of the pages' files, in both tiers."""
        return self.local.packing

    def has(self, key: bytes) -> bool:
        """Return whether either tier lists the page; only ``get`` says whether it is sound."""
        return self.tier(key) is not None

    def tier(self, key: bytes) -> Tier | None:
        """Return the nearest tier that lists the page."""
        if self.local.has(key):
            return "disk"
        return "objects" if self.objects.has(key) and key not in self._deletes else None

    def digest(self, key: bytes) -> bytes | None:
        """Return the digest of a page as manifests name it, from its header in the nearest tier."""
        record = self.record(key)
        return None if record is None else record.digest

    def record(self, key: bytes) -> PageRecord | None:
        """Return a page's header from the nearest tier that has a sound one; see ``PageStore.record``."""
        if (record := self.local.record(key)) is not None or not self.objects.has(key):
            return record
        size = page_record.HEADER_UNIT
        front = self.objects.front(key, size)
        length = None if front is None else page_record.header_length(front)
        if not isinstance(length, int):
            return None
        if length > size:
            front = self.objects.front(key, length)
        far = None if front is None else page_record.decode(front[:length])
        return far if isinstance(far, PageRecord) and far.key == key else None

    def read_file(self, key: bytes) -> bytes | None:
        """Return a page's file from its local file, or from the object store; see ``PageStore.read_file``."""
        if (content := self.local.read_file(key)) is not None or self.tier(key) is None:
            return content
        fetched = self.objects.fetch(key)
        if not isinstance(fetched, bytes):
            return None
        record = page_file.read_whole(BytesIO(fetched))
        if isinstance(record, Torn) or record.key != key:
            self.objects.note_damage(key)
            return None
        return fetched

    def put_file(self, key: bytes, content: bytes, owner: str | None = None) -> Rejected | None:
        """Keep a page's file locally, then queue it for the object store; see ``PageStore.put_file``.

        Example: ``refused = pages.put_file(key, content)``
        """
        refused = self.local.put_file(key, content, owner)
        if refused is None:
            self._stored(key)
        return refused

    def usage(self) -> StoreUsage:
        """Return the number and size of the local files."""
        return self.local.usage()

    def delete(self, keys: Iterable[bytes]) -> int:
        """Delete pages from local files, and queue that for the object store; return the number of local ones.

        Raises Unavailable when it cannot be noted.
        """
        doomed = list(keys)
        shared = [key for key in doomed if key not in self._released]
        self._released.difference_update(doomed)
        try:
            self.behind.delete(shared)
        except OSError as e:
            raise Unavailable(f"the page store cannot delete: {e.strerror}", retry_after_s=60) from e
        return self.local.delete(doomed)

    def find(self, keys: Sequence[bytes]) -> int:
        """Look in the object store for pages that neither tier lists, so that ``has`` knows of them; return the
        number of pages that are there. Raises nothing.

        Example: ``pages.find([stored_key(page.key, scope) for page in kept.pages])``
        """
        missing = [key for key in keys if not self.has(key)]
        self.objects.find(key for key in missing if key not in self._deletes)
        return sum(map(self.has, keys))

    def release(self, keys: Sequence[bytes]) -> None:
        """Leave the objects of pages to the proxy that deletes them: the next ``delete`` of them drops local files
        alone. It would else take pages away that were published again meanwhile."""
        self._released.update(keys)
        self.objects.forget(keys)

    def assign(self, owners: Mapping[bytes, str]) -> None:
        """Count pages for their publishers; see ``PageStore.assign``."""
        self.local.assign(owners)

    def collect(self, keep: Collection[bytes]) -> int:
        """Drop local pages of no document, and delete them from the object store: a delete that a kill cut short.

        Pages that are in the object store alone may be another proxy's, and stay.
        """
        doomed = [key for key in self.local.keys() if key not in keep]
        if doomed:
            self.behind.delete(doomed)
        return self.local.collect(keep)

    def close(self) -> None:
        """Stop the threads. Idempotent. What was not written yet is written by the next process."""
        self._listing.close()
        self.behind.close()

    def _stored(self, key: bytes) -> None:
        """Bring a page that has just been stored locally to the object store: now, or later."""
        self._released.discard(key)
        if self.objects.has(key) and key not in self._deletes:
            return
        if self._acknowledge == "local":
            self.behind.store(key)
            return
        content = self.local.read_file(key)
        if content is None:
            raise Unavailable("the page was dropped while it was being written; try again", retry_after_s=1)
        self._deletes.done([key])
        self.objects.write(key, content)

    def _fetch(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None
    ) -> Loaded | Missing | Rejected:
        content = self.objects.fetch(key)
        if not isinstance(content, bytes):
            return content
        file, packing = BytesIO(content), self.local.packing
        record = page_file.read_record(file)
        if isinstance(record, Torn) or record.key != key:
            self.objects.note_damage(key)
            return Rejected(record.reason if isinstance(record, Torn) else "it holds another page's key")
        if (fault := packing.mismatch(record, parent, token_ids)) is not None:
            return Rejected(fault)
        result = packing.read(file, record, into)
        if isinstance(result, Loaded):
            self.behind.keep(key, content)
            return result
        if isinstance(result, Torn):
            self.objects.note_damage(key)
        return Rejected(result.reason)
