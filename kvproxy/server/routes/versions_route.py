"""Handlers of ``/kv/v1/documents/ID/touch``, ``/revoke`` and ``/aliases/NAME``."""

from __future__ import annotations

from aiohttp import web

from kvproxy.core import DocumentRef
from kvproxy.errors import InvalidRequest
from kvproxy.publishing.version_endings import VersionEndings
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.document_refs import conditions_of, ref_of
from kvproxy.server.requests.market_access import read_body_of
from kvproxy.server.requests.shown_replicas import names_replicas
from kvproxy.server.routes import documents_route
from kvproxy.wire.kv_documents.document_bodies import kv_document
from kvproxy.wire.kv_documents.document_ref import parse_document_ref
from kvproxy.wire.kv_documents.version_bodies import (
    AliasBody,
    KvAlias,
    KvAliasDeleted,
    KvRevoked,
    RevokeBody,
    TouchBody,
)


async def touch_document(request: web.Request) -> web.StreamResponse:
    """Set when a version ends; one that has expired is served again."""
    body = await read_body_of(request, TouchBody)
    touched = await _endings(request).touch(ref_of(request), request[CALLER], body.ttl_s)
    named = DocumentRef(touched.id, touched.version)
    info = await request.app[COMPONENTS].publisher.get(named, request[CALLER])
    return json_response(kv_document(info, names=names_replicas(request)), headers={"ETag": f'"{info.etag}"'})


async def revoke_document(request: web.Request) -> web.StreamResponse:
    """Never serve a version again, or any version where the path names none."""
    body = await read_body_of(request, RevokeBody)
    ref = ref_of(request)
    revoked = await _endings(request).revoke(ref, request[CALLER], body.reason)
    answer: KvRevoked = {
        "object": "kv_document.revoked",
        "id": ref.id,
        "versions": [str(one) for one in revoked],
        "reason": body.reason,
    }
    return json_response(answer)


async def set_alias(request: web.Request) -> web.StreamResponse:
    """Let an alias mean a version of one's own."""
    body = await read_body_of(request, AliasBody)
    id, alias = _alias_of(request)
    document = await _endings(request).set_alias(
        id, alias, body.version, request[CALLER], conditions_of(request)
    )
    answer: KvAlias = {
        "object": "kv_alias",
        "alias": f"{id}@{alias}",
        "document": str(document.ref),
        "etag": document.etag,
    }
    return json_response(answer, headers={"ETag": f'"{document.etag}"'})


async def delete_alias(request: web.Request) -> web.StreamResponse:
    """Remove an alias; a document may be called so, and comes first."""
    name, library = request.match_info["document"], request.app[COMPONENTS].publisher.library
    whole = f"{name}/aliases/{request.match_info['alias']}"
    if library.versions(whole, request[CALLER]):
        return await documents_route.delete_named(request, DocumentRef(whole))
    id, alias = _alias_of(request)
    await _endings(request).drop_alias(id, alias, request[CALLER], conditions_of(request))
    answer: KvAliasDeleted = {"object": "kv_alias.deleted", "alias": f"{id}@{alias}", "deleted": True}
    return json_response(answer)


def _alias_of(request: web.Request) -> tuple[str, str]:
    """Return the document's id and the alias that the path names. Raises InvalidRequest."""
    ref = parse_document_ref(
        f"{request.match_info['document']}@{request.match_info['alias']}", param="document"
    )
    if ref.alias is None:
        raise InvalidRequest(
            "Invalid alias: it begins with a small letter, so that it is no version's number.", param="alias"
        )
    return ref.id, ref.alias


def _endings(request: web.Request) -> VersionEndings:
    return request.app[COMPONENTS].publisher.endings
