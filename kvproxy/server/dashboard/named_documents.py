"""`naming`: the document versions that a view may name to its caller."""

from __future__ import annotations

from collections.abc import Callable

from kvproxy.core import Caller
from kvproxy.documents.library.library import Library


def naming(library: Library, caller: Caller, owner: str | None = None) -> Callable[[str], bool]:
    """Return whether the caller may see the version of a name like ``handbook@3``: an admin is told no other tenant's
    private ids. ``owner``: the scope of the publisher whose documents alone are meant.

    Example: ``may_name = naming(components.publisher.library, caller); may_name("handbook@3")``
    """

    def may_name(name: str) -> bool:
        id, _, version = name.partition("@")
        seen = [known.document for known in library.versions(id, caller)]
        return any(
            (not version.isdigit() or document.version == int(version))
            and owner in (None, document.owner_scope)
            for document in seen
        )

    return may_name
