"""`stored_documents`: what each tenant's document versions take on disk, for the charge of their storage."""

from __future__ import annotations

from kvproxy.charging.publish_charges import StoredDocument
from kvproxy.core import Caller
from kvproxy.documents.library.library import Library
from kvproxy.publishing.holdings import Holdings


def stored_documents(library: Library, holdings: Holdings) -> list[StoredDocument]:
    """Return the versions of tenants that are known now, each with the bytes of all its kept framings.

    Learned versions are left out: the host keeps them by its own choice. Pages that versions share count for each
    of them: a charge must not tell what others have published. They may be very many: for a worker thread.

    Example: ``stored_documents(library, holdings)``
    """
    stored: list[StoredDocument] = []
    for known in (known for name in library.all_names() for known in library.of_name(name)):
        document = known.document
        tenant = library.rights.publisher(document.owner_scope)
        if tenant and document.origin != "learned":
            size = sum(framing.kept.bytes for framing in holdings.get(document.ref).framings)
            owner = Caller(tenant, document.owner_scope)
            # A public, a granted and a private document of one tenant may have one id: each namespace counts by itself.
            space = "" if document.visibility == "public" else f":{document.visibility}"
            name = f"{document.id}@{document.version}{space}"
            stored.append(StoredDocument(name, owner, size, document.created * 1000))
    return stored
