"""A published document: its text, and its tokens with the places at which they can be joined to others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kvproxy.core import GRANTED, PUBLIC, DocumentRef, PageKeys, Visibility, documents_scope, granted_scope
from kvproxy.documents.library.spelling import PUBLISHED, strip_front
from kvproxy.errors import DocumentRejected

ID_PATTERN = r"^(?=.{1,128}$)[A-Za-z0-9][A-Za-z0-9._-]*(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)*$"
"""The pattern of a document id, for JSON schemas. No segment is empty, ``.`` or ``..``: a client or a proxy in
between that normalises paths would turn it into another document's name."""
_ID = re.compile(ID_PATTERN)

_REMEMBERED = 16
"""Comparisons of one prefix with its document's tokens that are remembered."""


Origin = Literal["published", "learned", "imported"]
"""The way in which a version came here: its publisher's call, by being sent often, or from an exported file."""


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a document."""

    id: str
    version: int
    text: str
    etag: str
    """sha256 of the text's UTF-8 bytes, hex."""
    visibility: Visibility
    owner_scope: str
    created: int
    """Unix seconds."""
    origin: Origin = "published"
    expires: int | None = None
    """Unix seconds from which it is not served any more; None: never."""

    @property
    def ref(self) -> DocumentRef:
        """The reference to exactly this version."""
        return DocumentRef(self.id, self.version, _namespaces(self.owner_scope)[self.visibility])

    @property
    def series(self) -> str:
        """The lock name of all versions of this id and publisher; each change of one of them holds that lock."""
        return series(self.id, self.owner_scope)

    @property
    def scope(self) -> str:
        """The scope of its published pages."""
        return pages_scope(self.id, self.version, self.visibility, self.owner_scope)


def _namespaces(owner_scope: str) -> Mapping[str, str | None]:
    """Return, by visibility, the owner in a document's reference: each names the versions of an id by itself."""
    return {"public": None, "granted": GRANTED, "private": owner_scope}


def pages_scope(id: str, version: int, visibility: str, owner_scope: str) -> str:
    """Return the scope of a version's published pages.

    Example:
        ``scope = pages_scope("handbook", 3, "granted", caller.scope)``
    """
    if visibility == "public":
        return PUBLIC
    if visibility == "granted":
        return granted_scope(id, version, owner_scope)
    return documents_scope(owner_scope)


def series(id: str, owner_scope: str) -> str:
    """Return the lock name of all versions of this id and publisher. No id or scope holds a line end."""
    return f"{id}\n{owner_scope}"


def etag_of(text: str) -> str:
    """Return the sha256 of the text's UTF-8 bytes, hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def checked_etag(id: str, text: str, max_text: int) -> str:
    """Return the ETag of a document that may be published: a valid id, and text of 1 to ``max_text`` bytes of UTF-8.

    Raises DocumentRejected.

    Example:
        ``etag = checked_etag("handbook", text, 8 * 2**20)``
    """
    if _ID.fullmatch(id) is None:
        raise DocumentRejected(
            f"Invalid document id {id[:140]!r}: 1 to 128 letters, digits and . _ - /, the first a letter or digit, "
            "without '.', '..' or nothing between slashes, and no slash at the end.",
            param="id",
        )
    if not strip_front(text):
        raise DocumentRejected(f"The text of '{id}' is empty; publish a text with words.", param="text")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as e:
        raise DocumentRejected(
            f"The text of '{id}' has half of a surrogate pair at character {e.start}.", param="text"
        ) from e
    if size > max_text:
        raise DocumentRejected(
            f"The text of '{id}' has {size} bytes; at most {max_text} are accepted. Publish it in parts, or raise "
            "documents.max_text.",
            param="text",
        )
    return etag_of(text)


@dataclass(frozen=True, slots=True)
class JoinPoint:
    """A place near the document's start: from here its own tokens are right, if a piece starts here in context."""

    character: int
    token: int


@dataclass(frozen=True, slots=True)
class TokenizedDocument:
    """A document's core (its text without surrounding white space), tokenised once.

    For every tail, ``token_ids[:cut_token]`` are the tokens of ``core[:cut]`` in ``core + tail``. ``entries`` is
    empty and ``cut`` is 0 when that cannot be shown; such a document is encoded with the surrounding text.
    """

    core: str
    key: str
    """sha256 of the core, hex."""
    token_ids: tuple[int, ...]
    entries: tuple[JoinPoint, ...]
    lead: int
    """Characters of the core that must be looked at to find an entry."""
    cut: int
    cut_token: int


@dataclass(frozen=True, slots=True)
class Framing:
    """An expected place of published documents, for which their pages are computed ahead of time."""

    place: Literal["system", "user", "text"]
    """At the head of the system message, of the first user message, or of a text completion's prompt."""
    system: str | None = None
    """For ``user``: the system prompt before it; None sends no system message."""

    @property
    def name(self) -> str:
        """``system``, ``user``, ``text``, or ``user-`` and a digest of the system prompt."""
        if self.system is None:
            return self.place
        return f"{self.place}-{etag_of(self.system)[:12]}"


@dataclass(frozen=True, slots=True)
class FramedPrefix:
    """The tokens from position 0 to the document's cut under one framing, in one spelling."""

    framing: str
    token_ids: tuple[int, ...]
    spelling: str = PUBLISHED
    keys: PageKeys = field(default_factory=PageKeys, compare=False, repr=False)
    """Its page keys, once a lookup has computed them."""
    _ends: dict[tuple[str, int, int], bool] = field(default_factory=dict, compare=False, repr=False)

    def ends_with(self, document: TokenizedDocument, at: int, token: int) -> bool:
        """Return whether its tokens from ``at`` on are those of ``document`` from ``token`` on.

        Compared once and remembered: prompts with this document begin with its prefix in one or two places, and
        thousands of tokens are compared for each.

        Example:
            ``prefix.ends_with(match.tokenized, at=place.own, token=place.resume)``
        """
        key = (document.key, at, token)
        same = self._ends.get(key)
        if same is None:
            own = self.token_ids[at:]
            same = self._ends[key] = own == document.token_ids[token : token + len(own)]
            if len(self._ends) > _REMEMBERED:
                self._ends.clear()
        return same

    @property
    def name(self) -> str:
        """The name of its kept pages: ``system`` for the text as published, ``system:lf`` for another spelling."""
        return self.framing if self.spelling == PUBLISHED else f"{self.framing}:{self.spelling}"
