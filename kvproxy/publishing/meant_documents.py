"""`meant_documents`: the versions that a reference may mean for its publisher, served or not. Pure."""

from __future__ import annotations

from kvproxy.core import LATEST, Caller, DocumentRef
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.errors import DocumentNotFound, PermissionDenied


def meant_documents(library: Library, ref: DocumentRef, caller: Caller) -> list[Document]:
    """Return the versions that ``ref`` may mean, those that have ended included. Raises DocumentNotFound.

    Example:
        ``documents = meant_documents(library, DocumentRef("handbook"), caller)``
    """
    served = [known.document for known in library.versions(ref.id, caller)]
    documents = [document for document in served if library.aliases.mean(ref, document)]
    if ref.alias == LATEST:
        documents = documents[-1:]
    else:
        documents += [ended.document for ended in library.ended(ref, caller)]
    if not documents:
        raise DocumentNotFound(str(ref))
    return documents


def touchable_document(library: Library, ref: DocumentRef, caller: Caller) -> Document:
    """Return the caller's own version that ``ref`` means; one that has expired where none is served.

    Raises DocumentNotFound, DocumentRevoked, PermissionDenied.

    Example:
        ``document = touchable_document(library, DocumentRef("handbook", 3), caller)``
    """
    served = [known.document for known in library.versions(ref.id, caller)]
    expired = [w.document for w in library.ended(ref, caller) if w.ending == "expired"]
    meant = [document for document in served if library.aliases.mean(ref, document)] or expired
    document = meant[-1] if meant else library.resolve(ref, caller).document
    if document.owner_scope != caller.scope:
        raise PermissionDenied(f"Only the publisher of '{ref.id}' can touch it.")
    return document


def deletable_versions(
    library: Library, ref: DocumentRef, caller: Caller
) -> tuple[list[KnownDocument], list[DocumentRef]]:
    """Return the caller's own versions that ``ref`` means: those that are served, and those that have ended.

    Raises DocumentNotFound; PermissionDenied where only versions of other publishers are found.

    Example:
        ``own, over = deletable_versions(library, DocumentRef("handbook", 3), caller)``
    """
    found = [known for known in library.versions(ref.id, caller) if library.aliases.mean(ref, known.document)]
    if ref.alias == LATEST:
        found = found[-1:]
    ended = [] if ref.alias == LATEST else library.ended(ref, caller)
    own = [known for known in found if known.document.owner_scope == caller.scope]
    over = [w.document.ref for w in ended if w.document.owner_scope == caller.scope]
    if not found and not ended:
        raise DocumentNotFound(str(ref))
    if not own and not over:
        raise PermissionDenied(f"Only the publisher of '{ref.id}' can delete it.")
    return own, over
