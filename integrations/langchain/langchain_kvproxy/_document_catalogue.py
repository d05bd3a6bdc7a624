"""`DocumentCatalogue`: a proxy's published documents by text, and token counts; fetched once, then refreshed."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document

from langchain_kvproxy._client import KVProxyClient
from langchain_kvproxy._digest import text_digest
from langchain_kvproxy._errors import KVProxyError, ProxyRefused
from langchain_kvproxy.documents import has_text, reference_of

logger = logging.getLogger(__name__)

RETRY_S = 5.0
"""Seconds before a proxy that did not answer is asked again."""
_REMEMBERED = 16_384
"""Token counts of texts that the proxy does not know."""
_NEWEST = 256
"""Documents published here that a list under way may lack."""
_FAULTS = (KVProxyError, LookupError, TypeError, ValueError, RuntimeError)
"""Errors that count as no answer: the proxy's own, an answer of another shape, a text that is no Unicode, a closed
client."""


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """One version of a published document. ``etag`` is the digest of its text."""

    id: str
    version: int
    etag: str
    tokens: int
    current: bool

    @property
    def reference(self) -> str:
        """Return the reference to this version, as in `handbook@3`."""
        return f"{self.id}@{self.version}"

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> KnownDocument:
        """Parse one document of the proxy's answer. Raises LookupError, TypeError or ValueError for another shape."""
        return cls(
            str(info["id"]),
            int(info["version"]),
            str(info["etag"]),
            int(info["tokens"]),
            bool(info.get("current", True)),
        )


class DocumentCatalogue:
    """The proxy's documents by text, and the token counts of other texts.

    No method raises: while the proxy does not answer the catalogue is empty, which one warning says. Safe from
    several threads and event loops; no lock is held during a request.

    Example:
        `DocumentCatalogue(client, refresh_s=30.0, clock=time.monotonic)`
    """

    def __init__(
        self, client: KVProxyClient, refresh_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._refresh_s = refresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._by_etag: dict[str, KnownDocument] = {}
        self._by_reference: dict[str, KnownDocument] = {}
        self._counts: OrderedDict[str, int | None] = OrderedDict()
        self._newest: deque[tuple[int, KnownDocument]] = deque(maxlen=_NEWEST)
        self._added = 0
        self._loaded = False
        self._down = False
        self._next = float("-inf")
        self._closed = False

    @property
    def reachable(self) -> bool:
        """Whether the proxy answered the last request."""
        return self._loaded and not self._closed

    def close(self) -> None:
        """Make no more requests, and keep the documents that are known."""
        self._closed = True

    def refresh(self) -> None:
        """Fetch the proxy's list of documents, when that is due."""
        if self._due():
            since = self._added
            try:
                self._learn(self._client.documents(), since)
            except _FAULTS as e:
                self._failed(e)

    async def arefresh(self) -> None:
        """Do the same as `refresh`, asynchronously."""
        if self._due():
            since = self._added
            try:
                self._learn(await self._client.adocuments(), since)
            except _FAULTS as e:
                self._failed(e)

    def find(self, document: Document) -> KnownDocument | None:
        """Return the version with exactly this text; where there is no text, the one that its reference names."""
        with self._lock:
            if has_text(document):
                return self._by_etag.get(text_digest(document.page_content))
            return self._by_reference.get(reference_of(document) or "")

    def named(self, id: str) -> KnownDocument | None:
        """Return the current version of the document with this id."""
        with self._lock:
            return self._by_reference.get(id)

    def add(self, known: KnownDocument) -> None:
        """Add a version that was published just now."""
        with self._lock:
            self._added += 1
            self._newest.append((self._added, known))
            self._enter(known)

    def count(self, text: str) -> int | None:
        """Count a text's tokens; None when the proxy cannot."""
        digest = text_digest(text)
        if not self._to_count(digest):
            return self._counts.get(digest)
        try:
            return self._counted(digest, self._client.count_tokens(text))
        except _FAULTS as e:
            self._not_counted(digest, e)
            return None

    async def acount(self, text: str) -> int | None:
        """Do the same as `count`, asynchronously."""
        digest = text_digest(text)
        if not self._to_count(digest):
            return self._counts.get(digest)
        try:
            return self._counted(digest, await self._client.acount_tokens(text))
        except _FAULTS as e:
            self._not_counted(digest, e)
            return None

    def _due(self) -> bool:
        """Return whether this caller is to fetch the list.

        While one caller refreshes, the others go on with the list before; the first time all of them fetch it.
        """
        with self._lock:
            now = self._clock()
            if self._closed or now < self._next:
                return False
            if self._loaded:
                self._next = now + self._refresh_s
            return True

    def _learn(self, infos: Iterable[Mapping[str, Any]], since: int) -> None:
        """Replace the catalogue by a fetched list.

        ``since``: ``_added`` at the time of the request; the list may lack documents that were published meanwhile.
        """
        found = [KnownDocument.of(info) for info in infos]
        with self._lock:
            self._by_etag, self._by_reference = {}, {}
            for known in (*found, *(known for added, known in self._newest if added > since)):
                self._enter(known)
            self._next = self._clock() + self._refresh_s
            self._loaded = True
            recovered, self._down = self._down, False
        if recovered:
            logger.info("the proxy at %s answers again", self._client.root)

    def _enter(self, known: KnownDocument) -> None:
        other = self._by_etag.get(known.etag)
        if other is None or _before(known, other):
            self._by_etag[known.etag] = known
        self._by_reference[known.reference] = known
        named = self._by_reference.get(known.id)
        if named is None or known.version >= named.version:
            self._by_reference[known.id] = known

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self._by_etag, self._by_reference = {}, {}
            self._loaded = False
            self._next = self._clock() + min(RETRY_S, self._refresh_s)
            warned, self._down = self._down, True
        if not warned:
            logger.warning(
                "documents are returned without references until the proxy answers: %s", str(error)
            )

    def _to_count(self, digest: str) -> bool:
        with self._lock:
            if digest in self._counts:
                self._counts.move_to_end(digest)
                return False
            return self.reachable

    def _counted(self, digest: str, count: int | None) -> int | None:
        with self._lock:
            self._counts[digest] = count
            while len(self._counts) > _REMEMBERED:
                self._counts.popitem(last=False)
        return count

    def _not_counted(self, digest: str, error: Exception) -> None:
        if isinstance(error, ProxyRefused | ValueError):
            logger.debug("a text of unknown length: %s", str(error))
            self._counted(digest, None)
        else:
            self._failed(error)


def _before(one: KnownDocument, other: KnownDocument) -> bool:
    """Return whether ``one`` is preferred of two with one text: a current version first, then the lower id."""
    return (not one.current, one.id, -one.version) < (not other.current, other.id, -other.version)
