"""Handlers of documents in files: ``/kv/v1/documents/{document}/export`` and ``/kv/v1/documents/import``."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Final, get_args

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from kvproxy.core import DocumentRef, Visibility
from kvproxy.core.report_progress import ReportProgress
from kvproxy.document_files.document_import import Imported, ImportWish, PagesWish
from kvproxy.document_files.file_exchange import FileExchange
from kvproxy.document_files.file_sections import MEDIA_TYPE, SUFFIX
from kvproxy.errors import InvalidRequest, KVProxyError, RouteNotFound, UnreadableBody, UnsupportedEncoding
from kvproxy.manifests.trusted_hosts import Jwks, jwks_in
from kvproxy.server.answers.progress_events import progressing
from kvproxy.server.auth import require
from kvproxy.server.components import CALLER, COMPONENTS, STREAMING
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.query_switches import is_true, wants_events
from kvproxy.server.routes import documents_route
from kvproxy.wire.kv_documents.document_bodies import publish_result
from kvproxy.wire.kv_documents.document_ref import parse_document_ref
from kvproxy.wire.kv_documents.manifest_types import KvImport

logger = logging.getLogger(__name__)

JWKS_HEADER = "x-kvproxy-trusted-jwks"
"""A JWKS in base64url that an operator believes for one file. It needs the scope ``admin``."""

PAGES: Final[tuple[PagesWish, ...]] = get_args(PagesWish)

_PIECE = 2**18


async def export_document(request: web.Request) -> web.StreamResponse:
    """Stream one version of the caller's own document with its pages as a file."""
    name, publisher = request.match_info["document"], request.app[COMPONENTS].publisher
    if publisher.library.versions(f"{name}/export", request[CALLER]):
        # A document may be called so. Its own address comes before that of another one's file.
        return await documents_route.describe(request, DocumentRef(f"{name}/export"))
    ref = parse_document_ref(name, param="document")
    exported = await _files(request).exporter.open(ref, request[CALLER])
    document = exported.manifest.document
    file = f"{document.id.replace('/', '_')}@{document.version}{SUFFIX}"
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{file}"'})
    response.content_type = MEDIA_TYPE
    request[STREAMING] = True
    await response.prepare(request)
    if request.method != "HEAD":
        try:
            async for piece in exported.content:
                for at in range(0, len(piece), _PIECE):
                    await response.write(piece[at : at + _PIECE])
        except KVProxyError as e:
            # The connection ends without the last chunk: a client must not take what it has for the file.
            logger.warning("the export of %s was cut short: %s", ref, e.message)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("an export was cut short") from e
    await response.write_eof()
    return response


async def import_document(request: web.Request) -> web.StreamResponse:
    """Take a document in from the file that is the body; answer when it is published, or stream the progress."""
    files, wish = _files(request), _wish(request)

    async def result(progress: ReportProgress | None) -> KvImport:
        return _import_body(await files.importer.take_in(_body(request), wish, request[CALLER], progress))

    if wants_events(request):
        return await progressing(request, result)
    answer = await result(None)
    return json_response(answer, status=201 if answer["created"] else 200)


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes, of any size: its reader bounds each part of it."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedEncoding("A document's file is sent as it is: send it without a Content-Encoding.")
    patience = request.app[COMPONENTS].timeout_s
    chunks = request.content.iter_chunked(2**16)
    while True:
        try:
            async with asyncio.timeout(patience):
                chunk = await anext(chunks, b"")
        except (web.RequestPayloadError, HttpProcessingError) as e:
            raise UnreadableBody("The file breaks off, or its chunks cannot be read. Send it again.") from e
        except TimeoutError as e:
            raise UnreadableBody("The file came too slowly. Send it again, or raise server.timeout_s.") from e
        if not chunk:
            return
        yield chunk


def _files(request: web.Request) -> FileExchange:
    files = request.app[COMPONENTS].files
    if files is None:
        raise RouteNotFound(
            "Documents have no files here: this proxy keeps no pages, and a fleet's replicas give none away."
        )
    return files


def _wish(request: web.Request) -> ImportWish:
    """Return the importer's choices in the query. Raises InvalidRequest, PermissionDenied."""
    query = request.query
    visibility: Any = _one_of(query.get("visibility"), "visibility", get_args(Visibility))
    pages: Any = _one_of(query.get("pages"), "pages", PAGES)
    pinned = is_true(request, "pinned") if "pinned" in query else None
    return ImportWish(query.get("id"), visibility, pages or "auto", pinned=pinned, jwks=_given_jwks(request))


def _given_jwks(request: web.Request) -> Jwks | None:
    told = request.headers.get(JWKS_HEADER)
    if told is None:
        return None
    require(request[CALLER], "admin")
    try:
        return jwks_in(json.loads(base64.urlsafe_b64decode(told + "=" * (-len(told) % 4))))
    except (ValueError, RecursionError) as e:
        raise InvalidRequest(
            f"Invalid '{JWKS_HEADER}': must be a JWKS in base64url.", param=JWKS_HEADER
        ) from e


def _one_of(value: str | None, name: str, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        raise InvalidRequest(f"Invalid '{name}': must be one of {', '.join(choices)}.", param=name)
    return value


def _import_body(imported: Imported) -> KvImport:
    document, published = imported.manifest.document, publish_result(imported.published)
    return {
        "object": "kv_import",
        "info": published["info"],
        "created": published["created"],
        "prefill_s": published["prefill_s"],
        "pages": imported.pages if imported.published.created else 0,
        "checked": imported.checked,
        "note": imported.note,
        "source": {
            "host": imported.manifest.host,
            "document": f"{document.id}@{document.version}",
            "publisher": document.publisher,
        },
    }
