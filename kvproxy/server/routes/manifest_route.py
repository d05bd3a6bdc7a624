"""Handler of ``/kv/v1/documents/{document}/manifest``."""

from __future__ import annotations

from aiohttp import web

from kvproxy.core import DocumentRef
from kvproxy.errors import RouteNotFound
from kvproxy.manifests.manifest_claims import manifest_claims
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.routes import documents_route
from kvproxy.wire.kv_documents.document_ref import parse_document_ref
from kvproxy.wire.kv_documents.manifest_types import KvManifest

JOSE = "application/jose"
"""The content type of a compact JWS (RFC 7515)."""


async def get_manifest(request: web.Request) -> web.StreamResponse:
    """Return a version's signed manifest: JSON, or the bare JWS where ``Accept`` asks for it."""
    name, publisher = request.match_info["document"], request.app[COMPONENTS].publisher
    if publisher.library.versions(f"{name}/manifest", request[CALLER]):
        # A document may be called so. Its own address comes before that of another one's manifest.
        return await documents_route.describe(request, DocumentRef(f"{name}/manifest"))
    ref = parse_document_ref(name, param="document")
    if publisher.manifests is None:
        raise RouteNotFound(
            "There are no manifests here: they are of pages, and a fleet's replicas hold those of this proxy's models."
        )
    signed = await publisher.manifests.visible(ref, request[CALLER])
    headers = {"Vary": "Accept"}
    if JOSE in request.headers.get("Accept", ""):
        return web.Response(text=signed.jws, content_type=JOSE, headers=headers)
    document = signed.manifest.document
    answer: KvManifest = {
        "object": "kv_manifest",
        "document": f"{document.id}@{document.version}",
        "jws": signed.jws,
        "claims": manifest_claims(signed.manifest),
    }
    return await off_loop_if_large(2 * len(signed.jws), lambda: json_response(answer, headers=headers))
