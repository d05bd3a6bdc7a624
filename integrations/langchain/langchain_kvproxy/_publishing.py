"""`Run`: the plan of one run of `publish_documents`: ids, texts to publish, versions to delete. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.documents import Document

from langchain_kvproxy._digest import text_digest
from langchain_kvproxy._document_catalogue import KnownDocument
from langchain_kvproxy._errors import KVProxyError, ProxyUnreachable
from langchain_kvproxy._part_names import PartNames
from langchain_kvproxy._progress import ProgressLine
from langchain_kvproxy.documents import has_text

logger = logging.getLogger(__name__)

Cleanup = Literal["incremental", "full"]


@dataclass(frozen=True, slots=True)
class PublishCounts:
    """The counts of one run of `publish_documents`.

    Attributes:
        added: Documents that the proxy did not have.
        updated: Documents that got a new version, because their text has changed.
        skipped: Documents with the current version's text, and those without text.
        deleted: Versions that were deleted by `cleanup`.
        failed: Documents that the proxy refused; with `on_error="log"` only.
        tokens: Tokens of the documents that were published.
        references: Each document's reference (`"handbook@3"`), in the loader's order; not those that failed.
    """

    added: int = 0
    updated: int = 0
    skipped: int = 0
    deleted: int = 0
    failed: int = 0
    tokens: int = 0
    references: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = [
            f"{self.added} added",
            f"{self.updated} updated",
            f"{self.skipped} skipped",
            *([f"{self.deleted} deleted"] if self.deleted else []),
            *([f"{self.failed} failed"] if self.failed else []),
        ]
        return f"{', '.join(counts)}; {self.tokens:,} tokens published"


@dataclass(frozen=True, slots=True)
class Job:
    """A text to be published."""

    id: str
    text: str
    known: KnownDocument | None
    """The version that it replaces."""


class Run:
    """One run: ``next`` returns a job, then exactly one of ``published`` and ``failed`` reports its outcome.

    A document is held back until its successor is known: only that distinguishes the parts of a source from a whole.
    """

    def __init__(
        self,
        infos: Iterable[Mapping[str, Any]],
        *,
        id_of: Callable[[Document], str],
        visibility: str | None,
        on_error: Literal["raise", "log"],
        line: ProgressLine | None,
    ) -> None:
        self._id_of = id_of
        self._visibility = visibility
        self._on_error = on_error
        self._line = line
        self._versions: dict[str, list[KnownDocument]] = {}
        self._visibilities: dict[str, object] = {}
        for info in infos:
            known = KnownDocument.of(info)
            self._versions.setdefault(known.id, []).append(known)
            if known.current:
                self._visibilities[known.id] = info.get("visibility")
        self._taken: dict[str, str] = {}
        self._names = PartNames(self._id_of)
        self._held: Document | None = None
        self._added = self._updated = self._skipped = self._failed = self._tokens = self._deleted = 0
        self._references: list[str] = []

    def next(self, document: Document | None) -> Job | None:
        """Take a document and return the job for the one before it, or None when that needs none.

        At the end ``document`` is None.
        """
        if document is not None and not has_text(document):
            self._skip(self._id_of(document), "skipped, no text")
            return None
        held, self._held = self._held, document
        if held is None:
            return None
        digest = text_digest(held.page_content)
        id = self._names.of(held, digest, document)
        if id in self._taken:
            self._skip(id, "skipped, twice the same")
            return None
        self._taken[id] = digest
        known = self._current(id)
        wanted = self._visibility in (None, self._visibilities.get(id))
        if known is not None and known.etag == digest and wanted:
            self._references.append(known.reference)
            self._skip(id, "skipped, unchanged")
            return None
        return Job(id, held.page_content, known)

    def progress(self, job: Job) -> Callable[[int, int], None]:
        """Return a callback that shows the tokens done and to do."""
        line = self._line
        return lambda done, total: line.tokens(job.id, done, total) if line else None

    def published(self, job: Job, result: Mapping[str, Any]) -> None:
        """Count the job as done, by the result of its publish."""
        known = KnownDocument.of(result["info"])
        self._versions.setdefault(job.id, []).append(known)
        self._references.append(known.reference)
        if not result["created"]:
            return self._skip(job.id, "skipped, unchanged")
        self._tokens += known.tokens
        if job.known is None:
            self._added += 1
        else:
            self._updated += 1
        self._tell(job.id, f"{'added' if job.known is None else 'updated'}, {known.tokens:,} tokens")

    def failed(self, job: Job, error: KVProxyError) -> None:
        """Log and count a failure; raise it with `on_error="raise"`, and always where no proxy answers."""
        if self._on_error == "raise" or isinstance(error, ProxyUnreachable):
            if self._line is not None:
                self._line.end(f"{job.id}: failed")
            raise error
        logger.warning("'%s' was not published: %s", job.id, error)
        if job.known is None:
            del self._taken[job.id]
        else:
            self._taken[job.id] = job.known.etag  # the version before stays, and stays recorded
        self._failed += 1
        self._tell(job.id, "failed")

    def deleted(self) -> None:
        """Count one deleted version."""
        self._deleted += 1

    @property
    def keys(self) -> dict[str, str]:
        """The documents of this run in a record manager's form: key to the id, which is its group."""
        return {f"{id}#{digest}": id for id, digest in self._taken.items()}

    def outdated(self, keys: Sequence[str]) -> list[str]:
        """Return the references of recorded keys that the proxy still has and this run did not see."""
        found: list[str] = []
        for key in keys:
            id, _, digest = key.rpartition("#")
            if self._taken.get(id) == digest:
                continue
            found += [known.reference for known in self._versions.get(id, ()) if known.etag == digest]
        return found

    def end(self) -> PublishCounts:
        """Return the counts, and show them as the last line."""
        counts = PublishCounts(
            self._added,
            self._updated,
            self._skipped,
            self._deleted,
            self._failed,
            self._tokens,
            tuple(self._references),
        )
        if self._line is not None:
            self._line.end(str(counts))
        return counts

    def _current(self, id: str) -> KnownDocument | None:
        return max(
            (k for k in self._versions.get(id, ()) if k.current), key=lambda k: k.version, default=None
        )

    def _skip(self, id: str, why: str) -> None:
        self._skipped += 1
        self._tell(id, why)

    def _tell(self, id: str, outcome: str) -> None:
        if self._line is not None:
            self._line.document(id, outcome)
