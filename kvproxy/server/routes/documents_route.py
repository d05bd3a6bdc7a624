"""Handlers of ``/kv/v1/documents``: publish, list, get, verify, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiohttp import ETag, web
from pydantic import ValidationError

from kvproxy.core import Caller, DocumentRef
from kvproxy.core.report_progress import ReportProgress
from kvproxy.documents.library.document_info import GREEDY_TOKENS, DocumentInfo, Published, Verification
from kvproxy.documents.library.document_listing import ListingQuery
from kvproxy.documents.library.preconditions import Preconditions
from kvproxy.errors import DocumentNotFound, InvalidRequest
from kvproxy.exactness.verify import Verifier
from kvproxy.learning.opening_text import LEARNED
from kvproxy.served_model import ServedModel
from kvproxy.server.answers.progress_events import progressing
from kvproxy.server.answers.served_framings import framings_elsewhere
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.asked_tenant import tenant_asked
from kvproxy.server.requests.document_refs import conditions_of, ref_of
from kvproxy.server.requests.market_access import note_verification
from kvproxy.server.requests.model_names import resolve_model
from kvproxy.server.requests.priced_documents import pricing_of, terms_of_body
from kvproxy.server.requests.query_switches import is_true, wants_events
from kvproxy.server.requests.read_request import read_object
from kvproxy.server.requests.shown_replicas import names_replicas
from kvproxy.wire.bodies.json_text import encode
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.bodies.whole_number import whole_number
from kvproxy.wire.kv_documents.document_bodies import (
    PublishBody,
    kv_document,
    kv_usage,
    kv_verification,
    models_body,
    publish_result,
)
from kvproxy.wire.kv_documents.document_ref import parse_document_ref
from kvproxy.wire.kv_documents.document_types import (
    KvDocument,
    KvDocumentDeleted,
    KvVerification,
    PublishResult,
)

MOST_TOKENS = 2**20

MOST_IDS = 1000
"""Ids of one part of a list."""

SLICE = 64
"""Documents of a list that are encoded between two turns of the event loop: some 2 ms."""


async def publish(request: web.Request) -> web.StreamResponse:
    """Publish a document; answer when its pages are kept, or stream the progress until then."""
    body = await read_object(request)
    try:
        wanted = PublishBody.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e
    if wants_events(request):

        async def result(progress: ReportProgress) -> PublishResult:
            return publish_result(await publish_document(request, wanted, progress))

        return await progressing(request, result)
    published = await publish_document(request, wanted, None)
    headers = {"ETag": f'"{published.info.etag}"'}
    status = 201 if published.created else 200
    return json_response(publish_result(published), status=status, headers=headers)


async def list_documents(request: web.Request) -> web.StreamResponse:
    """List the documents that the caller may read; with ``learned`` those that were learned, of another tenant for an
    admin. ``limit`` lists the versions of so many ids alone, and ``after`` of those behind one."""
    learned = is_true(request, "learned")
    caller = tenant_asked(request, request.query.get("tenant")) if learned else request[CALLER]
    publisher = request.app[COMPONENTS].publisher
    more: dict[str, Any] = {}
    if (query := _part_asked(request)) is not None:
        documents, more = await _part(request, query, caller)
    else:
        documents = await publisher.list(caller)
    if learned:
        documents = [d for d in documents if d.origin == "learned"]
    pieces: list[bytes] = []
    names = names_replicas(request)
    for at in range(0, len(documents), SLICE):
        listed: list[KvDocument] = [kv_document(d, names=names) for d in documents[at : at + SLICE]]
        pieces.append(encode(listed)[1:-1])
        await asyncio.sleep(0)  # Encoding a large library in one turn would block the event loop.
    usage = kv_usage(publisher.quotas.use(caller), publisher.endings.withdrawn(caller))
    rest = encode({"usage": usage, **more})[1:]
    body = b'{"object":"list","data":[' + b",".join(pieces) + b"]," + rest
    return web.Response(body=body, content_type="application/json")


def _part_asked(request: web.Request) -> ListingQuery | None:
    """Return the part of the list that is asked for; None for all of it. Raises InvalidRequest."""
    query = request.query
    if "limit" not in query and "after" not in query:
        return None
    limit = whole_number(query.get("limit", str(MOST_IDS)), MOST_IDS)
    if not limit:
        raise InvalidRequest(f"Invalid 'limit': must be 1 to {MOST_IDS}.", param="limit")
    return ListingQuery(most=limit, after=query.get("after"))


async def _part(
    request: web.Request, query: ListingQuery, caller: Caller
) -> tuple[list[DocumentInfo], dict[str, Any]]:
    """Return all versions of the ids, and the fields that say whether there are more."""
    publisher = request.app[COMPONENTS].publisher
    listed = await publisher.listed(caller, query)
    ids = [known.document.id for known in listed.documents]
    versions = (known for id in ids for known in publisher.library.versions(id, caller))
    documents = await publisher.views((known.document.ref for known in versions), caller)
    more = listed.found > len(ids)
    return documents, {"has_more": more, "next": ids[-1] if more else None}


async def get_document(request: web.Request) -> web.StreamResponse:
    """Describe a document, with its text where ``text=true``. The ETag is the text's in both cases."""
    return await describe(request, ref_of(request))


async def describe(request: web.Request, ref: DocumentRef) -> web.StreamResponse:
    """Describe the document that ``ref`` names. Raises DocumentNotFound."""
    publisher = request.app[COMPONENTS].publisher
    info = await publisher.get(ref, request[CALLER])
    headers = {"ETag": f'"{info.etag}"'}
    Preconditions(conditions_of(request).if_match).check(info.etag, f"{info.id}@{info.version}")
    if _unchanged(request.if_none_match or (), info.etag):
        return web.Response(status=304, headers=headers)
    names = names_replicas(request)
    document = kv_document(info, names=names)
    elsewhere = request.app[COMPONENTS].further_models
    if elsewhere:
        found = framings_elsewhere(elsewhere, DocumentRef(info.id, info.version), request[CALLER])
        document["models"] = models_body(found, names=names)
    if is_true(request, "text"):
        # The version that was found, not the reference: another version may be current by now.
        document["text"] = await publisher.text(DocumentRef(info.id, info.version), request[CALLER])
    return json_response(document, headers=headers)


async def delete_document(request: web.Request) -> web.StreamResponse:
    """Delete a document, or one version of it."""
    return await delete_named(request, ref_of(request))


async def delete_named(request: web.Request, ref: DocumentRef) -> web.StreamResponse:
    """Delete what ``ref`` names. Raises DocumentNotFound, PermissionDenied, PreconditionFailed."""
    learned = request.app[COMPONENTS].learned
    if learned is not None and ref.id.startswith(LEARNED):
        await learned.delete(ref, request[CALLER])
    else:
        await request.app[COMPONENTS].publisher.delete(ref, request[CALLER], conditions_of(request))
    deleted: KvDocumentDeleted = {"id": str(ref), "object": "kv_document.deleted", "deleted": True}
    return json_response(deleted)


async def verify_document(request: web.Request) -> web.StreamResponse:
    """Compare hits with prefills: about two cold prefills per framing and spelling, after other requests."""
    ref, tokens = ref_of(request), _tokens(request)
    _verifier(request)  # an unknown model is a 404 before the first event
    if wants_events(request):
        return await progressing(request, lambda progress: verify_named(request, ref, progress, tokens))
    return json_response(await verify_named(request, ref, None, tokens))


async def verify_named(
    request: web.Request, ref: DocumentRef, progress: ReportProgress | None, tokens: int = GREEDY_TOKENS
) -> KvVerification:
    """Verify the document that ``ref`` names, and note what was measured. Raises as ``Verifier.verify``.

    Example: ``found = await verify_named(request, DocumentRef("handbook", 3), None)``
    """
    found = await _verifier(request).verify(ref, request[CALLER], tokens, progress)
    if not _verified_model(request).backend.info.fleet:
        # What a fleet's answers agree in, or that it had nothing cached to compare, says nothing about pages.
        await note_verification(request, ref, found)
        await _note_in_manifest(request, ref, found)
    return kv_verification(found, names=names_replicas(request))


def _verifier(request: web.Request) -> Verifier:
    """Return the verifier of the model that ``model`` names, the first served one where it names none. Raises
    ModelNotFound, also for a model whose KV is not managed here."""
    components, model = request.app[COMPONENTS], _verified_model(request)
    if model is components.pipeline.models.primary:
        return components.verifier
    return components.verifiers[model.name]


def _verified_model(request: web.Request) -> ServedModel:
    models, asked = request.app[COMPONENTS].pipeline.models, request.query.get("model")
    return models.primary if asked is None else models.named(resolve_model(request, asked))


async def _note_in_manifest(request: web.Request, ref: DocumentRef, found: Sequence[Verification]) -> None:
    """Sign what was measured with the version that it was measured on, which may not be the current one any more."""
    publisher = request.app[COMPONENTS].publisher
    if publisher.manifests is None or not found:
        return
    measured = parse_document_ref(found[0].document, param="document")
    with suppress(DocumentNotFound):
        known = publisher.library.resolve(measured, request[CALLER])
        await publisher.manifests.note_verified(known.document.ref, found)


async def publish_document(
    request: web.Request, wanted: PublishBody, progress: ReportProgress | None
) -> Published:
    """Publish what a body asks for, at its price. Raises as ``Publisher.publish``, and InvalidRequest.

    Example: ``published = await publish_document(request, PublishBody(id="handbook", text=text), None)``
    """
    terms = terms_of_body(request, wanted.price)
    if wanted.licence is not None and terms is None:
        # A licence alone leaves the price as it is.
        terms = pricing_of(request).current(wanted.id, request[CALLER].name)
    publisher = request.app[COMPONENTS].publisher
    published = await publisher.publish(
        wanted.id,
        wanted.text,
        wanted.visibility,
        request[CALLER],
        progress,
        pinned=wanted.pinned,
        ttl_s=wanted.ttl_s,
        conditions=conditions_of(request),
    )
    if terms is not None:
        # After the publish, which may fail. Until then a granted document serves nobody who sends its text.
        await pricing_of(request).choose(wanted.id, request[CALLER].name, terms, wanted.licence)
        if publisher.manifests is not None:
            await publisher.manifests.renew_own(wanted.id, request[CALLER])
    return published


def _tokens(request: web.Request) -> int:
    """Return the number of greedy tokens to compare. Raises InvalidRequest."""
    tokens = whole_number(request.query.get("tokens", str(GREEDY_TOKENS)), MOST_TOKENS)
    if not tokens:
        raise InvalidRequest(f"Invalid 'tokens': must be an integer of 1 to {MOST_TOKENS}.", param="tokens")
    return tokens


def _unchanged(known: tuple[ETag, ...], etag: str) -> bool:
    return any(tag.value in ("*", etag) for tag in known)
