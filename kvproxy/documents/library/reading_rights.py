"""`ReadingRights`: the seam through which the library asks who may read a granted document, and who is its publisher.

The market answers from memory; without one, ``OwnersOnly`` does.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Protocol

from kvproxy.core import Caller
from kvproxy.documents.library.document import Document


@dataclass(frozen=True, slots=True)
class Right:
    """The answer for one granted document and one caller."""

    allowed: bool
    grant: str | None = None
    """Id of the grant that lets the caller in; None for the publisher itself."""


ALLOWED = Right(allowed=True)
REFUSED = Right(allowed=False)


class ReadingRights(Protocol):
    """Grants and publishers' policies, answered in memory and in any thread."""

    @property
    def generation(self) -> Hashable:
        """A value that changes whenever a caller may have gained a right. Rights that end need no change of it: each
        match is asked for anew."""

    @property
    def policies(self) -> Hashable:
        """A value that changes whenever a document may have another policy."""

    def granted_ids(self, caller: Caller) -> Collection[str]:
        """Return the ids of all documents that a grant names or named ``caller`` for, of any publisher."""

    def shared_ids(self) -> Collection[str]:
        """Return the ids of all documents that are or were granted to everybody, or for which ``serves_texts`` may
        hold."""

    def right(self, document: Document, caller: Caller) -> Right:
        """Return whether ``caller``, who is not its publisher, may read this granted document."""

    def refusal(self, document: Document, caller: Caller) -> str | None:
        """Return what is told to a caller who may not read this document but had a grant, which has ended or is used
        up. None for one who never had any, who is told nothing, not even that the document exists."""

    def serves_texts(self, document: Document) -> bool:
        """Return whether a caller without a grant who sends this document's text may use its kept pages: its
        publisher's policy, ``discount`` or ``full_price``."""

    def publisher(self, owner_scope: str) -> str:
        """Return the tenant whose scope this is; empty for one that is not known."""


class OwnersOnly:
    """Rights of a proxy without a market: a granted document is its publisher's alone."""

    generation = 0
    policies = 0

    def granted_ids(self, caller: Caller) -> Collection[str]:
        """Return none."""
        return ()

    def shared_ids(self) -> Collection[str]:
        """Return none."""
        return ()

    def right(self, document: Document, caller: Caller) -> Right:
        """Refuse, as for a document that does not exist."""
        return REFUSED

    def refusal(self, document: Document, caller: Caller) -> str | None:
        """Return None: there are no grants to end."""
        return None

    def serves_texts(self, document: Document) -> bool:
        """Return False: no policy was set."""
        return False

    def publisher(self, owner_scope: str) -> str:
        """Return no name: tenants are the market's."""
        return ""
