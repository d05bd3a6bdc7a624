"""Values that the registry keeps beside a document: its kept pages, marks, aliases and reads."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core import Kept
from kvproxy.documents.library.document import Document


@dataclass(frozen=True, slots=True)
class KeptFraming:
    """The kept pages of a document version under one framing."""

    framing: str
    kept: Kept


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One document version with all of its kept pages."""

    document: Document
    framings: tuple[KeptFraming, ...]
    quarantined: str | None = None
    """The reason that its pages are not used; None while they are."""
    pinned: bool = False
    """True when its pages are to stay in memory."""
    revoked: str | None = None
    """The reason that it is never served again; None while it may be."""


@dataclass(frozen=True, slots=True)
class DocumentAlias:
    """A movable name of a version: ``handbook@stable``. The version may be gone."""

    name: str
    """The ``DocumentRef.name`` of the version's document."""
    alias: str
    version: int
