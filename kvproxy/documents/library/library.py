"""`Library`: the documents that this process knows, found by reference or at the front of a text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby

from kvproxy.core import GRANTED, PUBLIC, Caller, DocumentRef
from kvproxy.documents.library.document_aliases import DocumentAliases
from kvproxy.documents.library.document_names import id_in, owner_in
from kvproxy.documents.library.granted_documents import GrantedDocuments
from kvproxy.documents.library.key_changes import KeyChanges
from kvproxy.documents.library.known_document import DocumentMatch, KnownDocument, NearestText
from kvproxy.documents.library.published_usage import PublishedUsage, usage_of
from kvproxy.documents.library.reader_texts import add_matches
from kvproxy.documents.library.reading_rights import OwnersOnly, ReadingRights
from kvproxy.documents.library.text_prefixes import TextPrefixes
from kvproxy.documents.library.withdrawn_documents import Ending, Withdrawal, WithdrawnDocuments
from kvproxy.errors import DocumentNotFound, PermissionDenied


class Library:
    """Known documents by reference and by the start of their text.

    Changed on the event loop only, read in any thread: a value that a reader holds is replaced, never changed. Every
    version stays matchable. A document that a caller may not see is to that caller as one that does not exist, in
    results and, since its text lies in an index of its owner's, in time.
    """

    def __init__(self, rights: ReadingRights | None = None) -> None:
        """``rights``: the answers about granted documents; without them each is its publisher's alone."""
        self.rights: ReadingRights = rights or OwnersOnly()
        self._granted = GrantedDocuments(self.rights)
        self._versions: dict[str, dict[int, KnownDocument]] = {}
        """By ``DocumentRef.name``, then by version, ascending."""
        self._names: dict[str, dict[str, None]] = {}
        """The names by their owner, empty for public documents: a caller's list walks its own and these."""
        self._texts: dict[str, TextPrefixes[DocumentMatch]] = {}
        """By the scope that may see the documents: ``PUBLIC``, or their owner's."""
        self._count = 0
        self._quarantined: set[DocumentRef] = set()
        self._usage: dict[str, PublishedUsage] = {}
        """By publisher."""
        self._learned: dict[str, dict[DocumentRef, KnownDocument]] = {}
        """By the tenant that they were learned from."""
        self.aliases = DocumentAliases()
        self.changes = KeyChanges[str]()
        """Of each ``DocumentRef.name`` whose versions are others now."""
        self.withdrawn = WithdrawnDocuments()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[KnownDocument]:
        """Yield all versions, by id and then by version."""
        for _, names in groupby(sorted(self._versions), key=id_in):
            versions = (known for name in names for known in self._versions[name].values())
            yield from sorted(versions, key=lambda known: (known.document.version, known.document.ref.name))

    def ids(self, caller: Caller) -> list[str]:
        """Return the ids with a version that ``caller`` may see, sorted. They may be very many: for a worker thread."""
        named = {id_in(name) for owner in ("", caller.scope) for name in list(self._names.get(owner, ()))}
        return sorted(named | self._granted.ids(caller))

    def all_names(self) -> list[str]:
        """Return every ``DocumentRef.name``. They may be very many: for a worker thread."""
        return list(self._versions)

    def granted_by_others(self, caller: Caller) -> set[str]:
        """Return the ids of the granted documents of other publishers that ``caller`` may read now."""
        return self._granted.others_ids(caller)

    def add(self, known: KnownDocument) -> None:
        """Make a version findable, replacing the same version if present: a reader sees the one or the other."""
        ref, before = known.document.ref, self.find(known.document.ref)
        versions = {**self._versions.get(ref.name, {}), known.document.version: known}
        self._versions[ref.name] = {version: versions[version] for version in sorted(versions)}
        self._names.setdefault(owner_in(ref.name), {})[ref.name] = None
        self._count += before is None
        self._account(before, known)
        self.changes.note(ref.name)
        (self._quarantined.discard if known.quarantined is None else self._quarantined.add)(ref)
        if known.document.visibility == "granted":
            self._granted.put(known)
            return
        texts = self._texts.setdefault(_seen_by(known), TextPrefixes())
        add_matches(texts, known)
        if before is not None:
            same = _seen_by(before) == _seen_by(known)
            self._unindex(before, {match.tokenized.core for match in known.matches} if same else ())

    def remove(self, ref: DocumentRef) -> None:
        """Remove one version, or all of them when ``ref`` names none. Unknown ones are no error."""
        versions = self._versions.get(ref.name, {})
        left = {v: known for v, known in versions.items() if ref.version not in (None, v)}
        if left:
            self._versions[ref.name] = left
        elif self._versions.pop(ref.name, None) is not None:
            del self._names[owner_in(ref.name)][ref.name]
        self.changes.note(ref.name)
        for version, known in versions.items():
            if version not in left:
                self._count -= 1
                self._account(known, None)
                self._quarantined.discard(known.document.ref)
                self._unindex(known, ())

    def _unindex(self, known: KnownDocument, kept: Collection[str]) -> None:
        """Remove a version's texts from the index, except for those in ``kept``."""
        scope, ref = _seen_by(known), known.document.ref
        if self._granted.take(ref):
            return
        texts = self._texts[scope]
        for match in known.matches:
            core = match.tokenized.core
            if core not in kept:
                texts.put(core, _others(texts.get(core), ref))
        if not len(texts):
            del self._texts[scope]

    def find(self, ref: DocumentRef) -> KnownDocument | None:
        """Return exactly this version, whether or not a caller may see it."""
        return self._versions.get(ref.name, {}).get(ref.version or 0)

    def of_name(self, name: str) -> list[KnownDocument]:
        """Return the versions of one ``DocumentRef.name``, oldest first, whoever may see them."""
        return [*self._versions.get(name, {}).values()]

    def usage(self, owner_scope: str) -> PublishedUsage:
        """Return what a publisher's versions take, learned ones left out."""
        return self._usage.get(owner_scope, PublishedUsage())

    def _account(self, before: KnownDocument | None, after: KnownDocument | None) -> None:
        for known, sign in ((before, -1), (after, 1)):
            if known is None:
                continue
            owner = known.document.owner_scope
            if known.document.origin == "learned":
                self._account_learned(owner, known, there=sign > 0)
                continue
            taken = usage_of(known.tokenized, known.prefixes)
            usage = self.usage(owner) + taken if sign > 0 else self.usage(owner) - taken
            if usage.versions:
                self._usage[owner] = usage
            else:
                self._usage.pop(owner, None)

    def _account_learned(self, owner: str, known: KnownDocument, *, there: bool) -> None:
        if there:
            self._learned.setdefault(owner, {})[known.document.ref] = known
        elif owner in self._learned:
            self._learned[owner].pop(known.document.ref, None)
            if not self._learned[owner]:
                del self._learned[owner]

    def learned(self, owner_scope: str | None = None) -> list[KnownDocument]:
        """Return the learned versions of one tenant, or of all."""
        owners = self._learned.values() if owner_scope is None else (self._learned.get(owner_scope, {}),)
        return [known for versions in owners for known in versions.values()]

    def withdraw(self, ref: DocumentRef, ending: Ending, reason: str = "") -> None:
        """Stop serving a version from this moment on. An unknown one is no error.

        Example:
            ``library.withdraw(DocumentRef("handbook", 3), "revoked", "withdrawn by legal")``
        """
        known = self.find(ref)
        if known is not None:
            self.remove(ref)
            self.withdrawn.put(Withdrawal(known.document, ending, reason))

    @property
    def quarantined(self) -> int:
        """The number of versions in quarantine."""
        return len(self._quarantined)

    def in_quarantine(self) -> list[KnownDocument]:
        """Return the versions in quarantine, whoever may see them. Event loop only."""
        return [known for ref in sorted(self._quarantined, key=str) if (known := self.find(ref)) is not None]

    def versions(self, document_id: str, caller: Caller) -> list[KnownDocument]:
        """Return the versions of a document that ``caller`` may see, oldest first, its own behind another
        publisher's. Private versions of other owners under this id are not even looked at."""
        public, granted, private = self._named(document_id, caller)
        readable = (
            known for known in granted.values() if self._granted.right(known.document, caller).allowed
        )
        return sorted((*public.values(), *readable, *private.values()), key=_own_last(caller))

    def owner(self, document_id: str, *, granted: bool = False) -> str | None:
        """Return the scope of the publisher with public versions under this id, or with granted ones, or None."""
        name = DocumentRef(document_id, owner=GRANTED if granted else None).name
        versions = self._versions.get(name)
        return next(iter(versions.values())).document.owner_scope if versions else self.withdrawn.owner(name)

    def resolve(self, ref: DocumentRef, caller: Caller, *, param: str | None = None) -> KnownDocument:
        """Return the version ``ref`` names, as ``named`` does. Raises DocumentNotFound, PermissionDenied.

        Example:
            ``known = library.resolve(DocumentRef("handbook"), caller, param="messages[0].content")``
        """
        return self.named(ref, caller, param=param).known

    def named(self, ref: DocumentRef, caller: Caller, *, param: str | None = None) -> DocumentMatch:
        """Return the version ``ref`` names, or the newest that ``caller`` may see; its own before another
        publisher's.

        Raises DocumentNotFound, also for a granted document that the caller never had a grant for; PermissionDenied
        where its grant has ended or is used up; Gone where it was revoked or has expired.

        Example:
            ``match = library.named(DocumentRef("handbook"), caller, param="messages[0].content")``
        """
        named = (known for versions in self._named(ref.id, caller) for known in versions.values())
        found = [known for known in named if self.aliases.mean(ref, known.document)]
        refusal: str | None = None
        for known in sorted(found, key=_own_last(caller), reverse=True):
            if known.document.visibility != "granted":
                return DocumentMatch(known, known.tokenized, by_reference=True)
            right = self._granted.right(known.document, caller)
            if right.allowed:
                other = known.document.owner_scope != caller.scope
                return DocumentMatch(known, known.tokenized, right.grant, by_reference=True, confined=other)
            refusal = refusal or self.rights.refusal(known.document, caller)
        if refusal is not None:
            raise PermissionDenied(f"'{ref}' cannot be read: {refusal}", param=param)
        for withdrawal in reversed(self.ended(ref, caller)):
            raise withdrawal.error(param=param)
        raise DocumentNotFound(str(ref), param=param)

    def ended(self, ref: DocumentRef, caller: Caller) -> list[Withdrawal]:
        """Return the versions that ``ref`` may mean, that ``caller`` was allowed to see and that are not served any
        more, oldest first.

        Example:
            ``endings = library.ended(DocumentRef("handbook"), caller)``
        """
        found = self.withdrawn.named(ref.id, caller, lambda d: self._granted.right(d, caller).allowed)
        return [withdrawal for withdrawal in found if self.aliases.mean(ref, withdrawal.document)]

    def _named(self, id: str, caller: Caller) -> tuple[dict[int, KnownDocument], ...]:
        """Return the versions of an id that are public, granted, and the caller's private ones."""
        owners = (None, GRANTED, caller.scope)
        return tuple(self._versions.get(DocumentRef(id, owner=owner).name, {}) for owner in owners)

    def find_at_front(self, text: str, caller: Caller, at: int = 0) -> DocumentMatch | None:
        """Return the longest document visible to ``caller`` that ``text[at:]`` starts with, in any of its spellings.

        The character at ``at`` is not white space.

        Example:
            ``match = library.find_at_front(text.lstrip(), caller)``
        """
        found = [
            match for scope in (PUBLIC, caller.scope) if (match := self._longest(text, scope, at)) is not None
        ]
        granted = self._granted.find_at_front(text, caller, at)
        found += [granted] if granted is not None else []
        return min(found, key=lambda match: match.rank, default=None)

    def nearest(self, text: str, caller: Caller) -> NearestText | None:
        """Return the known text that shares the longest beginning with ``text``, of the documents whose text ``caller``
        may fetch: public ones and its own; None where none shares a character.

        The cost follows from the length of the common beginning. White space before the text counts for nothing.

        Example:
            ``near = library.nearest(request_text, caller)``
        """
        body = text.lstrip()
        found = [texts.nearest(body) for scope in (PUBLIC, caller.scope) if (texts := self._texts.get(scope))]
        shared = [near for near in (*found, self._granted.nearest(body, caller)) if near is not None]
        if not shared:
            return None
        best = min(shared, key=lambda near: (-near.common, len(near.key), near.values[0].rank))
        return NearestText(best.values[0], best.common, len(text) - len(body))

    def find_ended(self, text: str, caller: Caller) -> DocumentMatch | None:
        """Return the document that ``text`` starts with and that ``caller`` had a grant for, which has ended or is used
        up; None also for a document that the caller never had one for."""
        return self._granted.find_ended(text.lstrip(), caller)

    def _longest(self, text: str, scope: str, at: int) -> DocumentMatch | None:
        texts = self._texts.get(scope)
        return next((matches[0] for matches in texts.starting(text, at) if matches), None) if texts else None


def _own_last(caller: Caller) -> Callable[[KnownDocument], tuple[bool, int]]:
    """Return the sort key that puts another publisher's versions before the caller's own, oldest first."""
    return lambda known: (known.document.owner_scope == caller.scope, known.document.version)


def _seen_by(known: KnownDocument) -> str:
    """Return the scope whose index a public or private document's texts are in."""
    return PUBLIC if known.document.visibility == "public" else known.document.owner_scope


def _others(matches: Sequence[DocumentMatch], ref: DocumentRef) -> tuple[DocumentMatch, ...]:
    return tuple(match for match in matches if match.known.document.ref != ref)
