"""The document that a request names, and what its conditional headers ask of it."""

from __future__ import annotations

from aiohttp import ETag, web

from kvproxy.core import DocumentRef
from kvproxy.documents.library.preconditions import Preconditions
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.wire.kv_documents.document_ref import parse_document_ref


def ref_of(request: web.Request) -> DocumentRef:
    """Return the document that the path names. Raises InvalidRequest, and DocumentNotFound for an alias that means
    none."""
    return resolved_ref(request, request.match_info["document"])


def resolved_ref(request: web.Request, text: str) -> DocumentRef:
    """Return a document's reference, an alias as the version that it means now: what follows is about that version.

    Raises InvalidRequest; for an alias also DocumentNotFound, PermissionDenied, Gone.

    Example:
        ``ref = resolved_ref(request, "handbook@stable")``
    """
    ref = parse_document_ref(text, param="document")
    if ref.alias is None:
        return ref
    library = request.app[COMPONENTS].publisher.library
    known = library.resolve(ref, request[CALLER], param="document")
    return DocumentRef(ref.id, known.document.version)


def conditions_of(request: web.Request) -> Preconditions:
    """Return the request's ``If-Match`` and ``If-None-Match``. Weak ETags match nothing that is to be changed."""
    return Preconditions(_strong(request.if_match), _strong(request.if_none_match))


def _strong(tags: tuple[ETag, ...] | None) -> tuple[str, ...]:
    # A weak one stays in the list with its mark: a condition must not vanish because it cannot hold.
    return tuple(f"W/{tag.value}" if tag.is_weak else tag.value for tag in tags or ())
