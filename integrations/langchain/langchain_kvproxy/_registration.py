"""`Registration`: publishes retrieved documents that the proxy lacks, in a background thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from langchain_core.documents import Document

from langchain_kvproxy._client import KVProxyClient
from langchain_kvproxy._digest import text_digest
from langchain_kvproxy._document_catalogue import RETRY_S, DocumentCatalogue, KnownDocument
from langchain_kvproxy._errors import ProxyRefused, ProxyUnreachable
from langchain_kvproxy._naming import with_suffix
from langchain_kvproxy.documents import document_id, has_text, own_id, reference_of, source_of

logger = logging.getLogger(__name__)

_WAITING = 256
"""Documents waiting to be published. More than these are offered again when they are returned again."""
_PASSING = (408, 409, 425, 429)
"""Statuses below 500 of refusals that may succeed the next time."""
_FINAL = ("document_rejected", "permission_denied", "request_too_large", "invalid_api_key")
"""Codes of final refusals in the middle of a stream, where there is no status."""


@dataclass(frozen=True, slots=True)
class _Job:
    digest: str
    id: str
    text: str
    owned: bool
    """Whether the id was given to this text, so that another text under it becomes its next version."""
    part: bool
    """Whether the id is that of its source, of which the text may be a part: it is published under its own."""


class Registration:
    """A queue of documents, published one by one by a thread that ends when none is left.

    The thread belongs to no event loop and is a daemon: neither the end of a loop nor that of the program waits for
    it; ``close`` and ``aclose`` of the retriever do. Failures are logged; a document that may succeed later is
    accepted again later.
    """

    def __init__(
        self,
        client: KVProxyClient,
        catalogue: DocumentCatalogue,
        visibility: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._catalogue = catalogue
        self._visibility = visibility
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._busy = False
        self._waiters: list[Future[None]] = []
        self._claimed: set[str] = set()
        self._refused: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._closed = False
        self._at_end: Callable[[], None] | None = None

    def offer(self, document: Document) -> None:
        """Queue a document, unless its publish is under way, was refused for good, or failed just now.

        Returns at once.
        """
        digest = text_digest(document.page_content)
        if not has_text(document):
            return
        owned = document.id is not None and reference_of(document) is None
        part = own_id(document) is None and source_of(document) is not None
        job = _Job(digest, document_id(document), document.page_content, owned, part)
        with self._lock:
            full = len(self._jobs) >= _WAITING
            if self._closed or full or digest in self._claimed or digest in self._refused:
                return
            if self._clock() < self._not_before.get(digest, float("-inf")):
                return
            if self._catalogue.find(document) is not None:  # meanwhile
                return
            self._claimed.add(digest)
            self._jobs.append(job)
            if self._busy:
                return
            self._busy = True
        threading.Thread(target=self._work, name="kvproxy-registration", daemon=True).start()

    def idle(self) -> Future[None]:
        """Return a future that is done when nothing is left to publish."""
        future: Future[None] = Future()
        with self._lock:
            if self._busy:
                self._waiters.append(future)
                return future
        future.set_result(None)
        return future

    def stop(self) -> None:
        """Accept no more documents and drop the waiting ones."""
        with self._lock:
            self._closed = True
            self._jobs.clear()

    def finally_do(self, action: Callable[[], None]) -> None:
        """Run ``action`` when nothing is left to publish: now, or by the thread at its end."""
        with self._lock:
            self._closed = True
            if self._busy:
                self._at_end = action
                return
        action()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._publish(job)
            except Exception as e:  # nothing catches what this thread raises
                self._failed(job, e)
            with self._lock:
                self._claimed.discard(job.digest)

    def _next(self) -> _Job | None:
        with self._lock:
            if self._jobs:
                return self._jobs.popleft()
            self._busy = False
            waiters, self._waiters = self._waiters, []
            at_end, self._at_end = self._at_end, None
        for waiter in waiters:
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(None)
        if at_end is not None:
            at_end()
        return None

    def _publish(self, job: _Job) -> None:
        named = self._catalogue.named(job.id)
        if not job.part and (job.owned or named is None or named.etag == job.digest):
            try:
                return self._publish_as(job.id, job)
            except ProxyRefused as e:
                if e.code != "permission_denied":
                    raise
        # A part of a source, or another text has this id, or another key.
        self._publish_as(with_suffix(job.id, f"/{job.digest[:8]}"), job)

    def _publish_as(self, id: str, job: _Job) -> None:
        result = self._client.publish(id, job.text, visibility=self._visibility)
        known = KnownDocument.of(result["info"])
        self._catalogue.add(known)
        logger.debug("published %s of %d tokens", known.reference, known.tokens)

    def _failed(self, job: _Job, error: Exception) -> None:
        final = isinstance(error, ValueError) or (
            isinstance(error, ProxyRefused)
            and (error.code in _FINAL or (error.status < 500 and error.status not in _PASSING))
        )
        with self._lock:
            if final:
                self._refused.add(job.digest)
            else:
                self._not_before[job.digest] = self._clock() + RETRY_S
            if isinstance(error, ProxyUnreachable):  # nor would the proxy answer the other jobs
                self._claimed.difference_update(job.digest for job in self._jobs)
                self._jobs.clear()
        again = "" if final else "; it is tried again when it is next returned"
        logger.warning("'%s' was not published: %s%s", job.id, str(error), again)
