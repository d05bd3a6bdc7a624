"""`check_free`: whose a document id is, and what its publisher has under it already. Pure."""

from __future__ import annotations

from kvproxy.core import Caller, Visibility
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.library import Library
from kvproxy.errors import PermissionDenied


def newest_own(library: Library, id: str, caller: Caller) -> Document | None:
    """Return the newest version that ``caller`` itself has published.

    Example:
        ``current = newest_own(library, "handbook", caller)``
    """
    own = [k.document for k in library.versions(id, caller) if k.document.owner_scope == caller.scope]
    return own[-1] if own else None


def reusable_scopes(library: Library, current: Document | None) -> tuple[str, ...]:
    """Return the scopes whose pages a new version may copy: that of the publisher's own version before it.

    Public pages are found without this by public versions, and by no other: they may be another publisher's, and
    a private publish must take as long as if nobody had its text.

    Example:
        ``reuse = reusable_scopes(library, current)``
    """
    known = None if current is None else library.find(current.ref)
    if current is None or known is None or known.quarantined is not None or current.visibility == "public":
        return ()
    return (current.scope,)


def check_free(
    library: Library, id: str, caller: Caller, current: Document | None, wanted: Visibility
) -> None:
    """Check that the id is free. The id of public and granted documents belongs to the publisher of them; private
    versions of others do not count, nor, for a private version, what others have granted. Raises PermissionDenied.

    Example:
        ``check_free(library, "handbook", caller, newest_own(library, "handbook", caller), "public")``
    """
    others = (None, caller.scope)
    taken = library.owner(id) not in others and (current is None or wanted != "private")
    if taken or (wanted != "private" and library.owner(id, granted=True) not in others):
        raise PermissionDenied(f"The document id '{id}' belongs to another publisher; choose another id.")
