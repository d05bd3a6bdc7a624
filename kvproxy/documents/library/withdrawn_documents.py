"""`WithdrawnDocuments`: versions that are not served any more, for those who were allowed to see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from kvproxy.core import GRANTED, PUBLIC, Caller, DocumentRef
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.text_prefixes import TextPrefixes
from kvproxy.errors import DocumentExpired, DocumentRevoked, Gone

Ending = Literal["revoked", "expired"]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A version that is not served any more, and the reason."""

    document: Document
    ending: Ending
    reason: str = ""
    """The publisher's, for a revoked version."""

    def error(self, *, param: str | None = None) -> Gone:
        """Return the answer to whoever names it."""
        ref = str(self.document.ref)
        if self.ending == "revoked":
            return DocumentRevoked(ref, self.reason, param=param)
        return DocumentExpired(ref, self.document.expires or 0, param=param)


class WithdrawnDocuments:
    """Withdrawn versions by reference and by the start of their text. Changed on the event loop only, read in any
    thread.

    By text, public ones are found by everybody, all others by their publisher alone.
    """

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, Withdrawal]] = {}
        self._texts: dict[str, TextPrefixes[Withdrawal]] = {}
        self._watches: dict[DocumentRef, list[Callable[[], None]]] = {}

    def put(self, withdrawal: Withdrawal) -> None:
        """Add a version, and call whoever watches it."""
        document = withdrawal.document
        self.take(document.ref)
        versions = {**self._versions.get(document.ref.name, {}), document.version: withdrawal}
        self._versions[document.ref.name] = versions
        texts = self._texts.setdefault(_finder(document), TextPrefixes())
        core = document.text.strip()
        texts.put(core, (*texts.get(core), withdrawal))
        for told in tuple(self._watches.get(document.ref, ())):
            told()

    def take(self, ref: DocumentRef) -> Withdrawal | None:
        """Remove a version, and return it; None where it is not there."""
        versions = dict(self._versions.get(ref.name, {}))
        withdrawal = versions.pop(ref.version or 0, None)
        if withdrawal is None:
            return None
        if versions:
            self._versions[ref.name] = versions
        else:
            del self._versions[ref.name]
        finder, core = _finder(withdrawal.document), withdrawal.document.text.strip()
        texts = self._texts[finder]
        texts.put(core, tuple(w for w in texts.get(core) if w.document.ref != ref))
        if not len(texts):
            del self._texts[finder]
        return withdrawal

    def find(self, ref: DocumentRef) -> Withdrawal | None:
        """Return exactly this version, whether or not a caller may see it."""
        return self._versions.get(ref.name, {}).get(ref.version or 0)

    def of_name(self, name: str) -> list[Withdrawal]:
        """Return the withdrawn versions of one ``DocumentRef.name``, whoever may see them."""
        return list(self._versions.get(name, {}).values())

    def named(self, id: str, caller: Caller, readable: Callable[[Document], bool]) -> list[Withdrawal]:
        """Return the withdrawn versions of an id that ``caller`` was allowed to see, oldest first. ``readable``: the
        answer for a granted one.

        Example:
            ``library.withdrawn.named("handbook", caller, lambda document: False)``
        """
        names = (DocumentRef(id, owner=owner).name for owner in (None, GRANTED, caller.scope))
        found = [w for name in names for w in self._versions.get(name, {}).values()]
        seen = (w for w in found if w.document.visibility != "granted" or readable(w.document))
        return sorted(seen, key=lambda w: (w.document.owner_scope == caller.scope, w.document.version))

    def owner(self, name: str) -> str | None:
        """Return the scope of the publisher of a name's withdrawn versions; None where there are none."""
        return next((w.document.owner_scope for w in self._versions.get(name, {}).values()), None)

    def at_front(self, text: str, caller: Caller) -> Withdrawal | None:
        """Return the longest withdrawn text that ``text`` begins with, of those that this caller may be told of."""
        body, found = text.lstrip(), []
        for finder in (PUBLIC, caller.scope):
            texts = self._texts.get(finder)
            found += [next(iter(texts.starting(body)), ())[:1]] if texts is not None else []
        matches = [match[0] for match in found if match]
        return max(matches, key=lambda w: len(w.document.text), default=None)

    def __iter__(self) -> Iterator[Withdrawal]:
        """Yield all of them."""
        for versions in tuple(self._versions.values()):
            yield from tuple(versions.values())

    @contextmanager
    def watch(self, refs: list[DocumentRef], told: Callable[[], None]) -> Iterator[None]:
        """Call ``told`` while the block runs whenever one of ``refs`` is withdrawn; at once for one that is already.

        Example:
            ``with library.withdrawn.watch(refs, lambda: limit.reschedule(0)): ...``
        """
        for ref in refs:
            self._watches.setdefault(ref, []).append(told)
        try:
            if any(self.find(ref) is not None for ref in refs):
                told()
            yield
        finally:
            for ref in refs:
                watches = self._watches[ref]
                watches.remove(told)
                if not watches:
                    del self._watches[ref]


def _finder(document: Document) -> str:
    return PUBLIC if document.visibility == "public" else document.owner_scope
