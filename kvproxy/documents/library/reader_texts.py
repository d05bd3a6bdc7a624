"""`ReaderTexts`: one reader's index of texts, brought up to date by what has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable

from kvproxy.core import DocumentRef
from kvproxy.documents.library.known_document import DocumentMatch, KnownDocument
from kvproxy.documents.library.text_prefixes import TextPrefixes

Texts = TextPrefixes[DocumentMatch]


class ReaderTexts:
    """The texts of some documents, found by how a text begins. Safe in any thread: one at a time brings it up to date,
    and no reader waits for another's index."""

    def __init__(self) -> None:
        self.texts: Texts = TextPrefixes()
        self._state: Hashable = None
        self._held: dict[DocumentRef, KnownDocument] = {}
        self._lock = threading.Lock()

    def of(self, documents: Callable[[], Iterable[KnownDocument]], state: Hashable) -> Texts:
        """Return the index of ``documents``, which are asked for unless ``state`` is that of the last time.

        Only those that came, went or were replaced cost more than a comparison.

        Example:
            ``texts = reader_texts.of(lambda: readable, state=(changes, rights.generation))``
        """
        if self._state != state:
            with self._lock:
                if self._state != state:
                    self._hold({known.document.ref: known for known in documents()})
                    self._state = state
        return self.texts

    def _hold(self, documents: dict[DocumentRef, KnownDocument]) -> None:
        for ref, known in list(self._held.items()):
            if documents.get(ref) is not known:
                del self._held[ref]
                add_matches(self.texts, known, remove=True)
        for ref, known in documents.items():
            if ref not in self._held:
                self._held[ref] = known
                add_matches(self.texts, known)


def add_matches(texts: Texts, known: KnownDocument, *, remove: bool = False) -> None:
    """Put a version's texts into an index (modified), in the order of preference; or take them out.

    Example:
        ``add_matches(texts, known)``
    """
    ref = known.document.ref
    for match in known.matches:
        core = match.tokenized.core
        others = [other for other in texts.get(core) if other.known.document.ref != ref]
        kept = others if remove else sorted((*others, match), key=lambda m: m.rank)
        texts.put(core, tuple(kept))
