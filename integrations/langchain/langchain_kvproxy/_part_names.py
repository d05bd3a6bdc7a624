"""`PartNames`: distinct ids for the texts of one loader run, where several come with one name."""

from __future__ import annotations

from collections.abc import Callable

from langchain_core.documents import Document

from langchain_kvproxy._digest import text_digest
from langchain_kvproxy._naming import with_suffix
from langchain_kvproxy.documents import source_of


class PartNames:
    """Assigns each text an id of its own.

    Texts with one id and one source that follow each other are parts: ``handbook.md/part-1``, ``…/part-2`` in the
    loader's order. So no part has the id of the whole file, which another run may publish. Texts with one id and
    different sources (the same file name in two folders) are told apart by digits of their sources' names.
    """

    def __init__(self, id_of: Callable[[Document], str]) -> None:
        self._id_of = id_of
        self._parted: set[str] = set()
        self._ids: dict[tuple[str, str], str] = {}
        """By id as it came and the text's digest."""
        self._counts: dict[str, int] = {}
        self._digests: dict[str, str] = {}
        """The digest of the text that each id was given to."""
        self._sources: dict[str, str | None] = {}

    def of(self, document: Document, digest: str, after: Document | None) -> str:
        """Return the id of ``document``.

        Args:
            document: The document to name.
            digest: The digest of its text.
            after: The document that follows it, or None at the end.

        Example:
            `names.of(document, text_digest(document.page_content), None)`
        """
        name, source = self._id_of(document), source_of(document)
        if self._sources.setdefault(name, source) != source:
            name = with_suffix(name, f"-{text_digest(source or '')[:8]}")
        elif after is not None and self._goes_on(document, after, name):
            self._parted.add(name)
        if (name, digest) not in self._ids:
            self._ids[name, digest] = id = self._new(name, digest)
            self._digests[id] = digest
        return self._ids[name, digest]

    def _goes_on(self, document: Document, after: Document, name: str) -> bool:
        same = self._id_of(after) == name and source_of(after) == source_of(document)
        return same and after.page_content != document.page_content

    def _new(self, name: str, digest: str) -> str:
        number = self._counts.get(name, 0) + 1
        whole = name not in self._parted and name not in self._digests
        id = name if whole else with_suffix(name, f"/part-{number}")
        while self._digests.get(id, digest) != digest:
            number += 1
            id = with_suffix(name, f"/part-{number}")
        self._counts[name] = number
        return id
