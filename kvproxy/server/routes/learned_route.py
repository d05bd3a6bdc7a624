"""Handlers for learned documents: the list of one tenant's, and ``/kv/v1/documents/ID/promote``."""

from __future__ import annotations

from aiohttp import web
from pydantic import ValidationError

from kvproxy.errors import InvalidRequest
from kvproxy.learning.learned_texts import LearnedTexts
from kvproxy.server.components import COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.asked_tenant import tenant_asked
from kvproxy.server.requests.document_refs import ref_of
from kvproxy.server.requests.read_request import read_object
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.kv_documents.document_bodies import publish_result
from kvproxy.wire.kv_documents.learned_bodies import PromoteBody


async def promote_document(request: web.Request) -> web.StreamResponse:
    """Publish a learned document under an id of its own. For another tenant's, the caller must be an admin."""
    try:
        wanted = PromoteBody.model_validate(await read_object(request))
    except ValidationError as e:
        raise invalid(e) from e
    owner = tenant_asked(request, wanted.tenant)
    published = await learned_of(request).promote(ref_of(request), wanted.id, wanted.visibility, owner)
    return json_response(publish_result(published), status=201 if published.created else 200)


def learned_of(request: web.Request) -> LearnedTexts:
    """Return the learned documents. Raises InvalidRequest where learning is turned off."""
    learned = request.app[COMPONENTS].learned
    if learned is None:
        raise InvalidRequest("Nothing is learned here; set learning.enabled in the proxy's configuration.")
    return learned
