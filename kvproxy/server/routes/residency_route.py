"""Handlers of ``/kv/v1/documents/ID/pin``, ``/unpin`` and ``/warm``."""

from __future__ import annotations

from aiohttp import web

from kvproxy.core import DocumentRef
from kvproxy.core.report_progress import ReportProgress
from kvproxy.lifecycle.document_residency import DocumentResidency
from kvproxy.lifecycle.residency_reports import WarmReport
from kvproxy.publishing.pin_budget import PinReport
from kvproxy.server.answers.progress_events import progressing
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.document_refs import ref_of
from kvproxy.server.requests.query_switches import is_true, wants_events
from kvproxy.wire.kv_documents.residency_bodies import KvPin, KvWarm


async def pin_document(request: web.Request) -> web.StreamResponse:
    """Pin a version as a whole, or with ``partial`` as far as there is room."""
    partial = is_true(request, "partial")
    return json_response(
        _pin(await _residency(request).pin(ref_of(request), request[CALLER], partial=partial))
    )


async def unpin_document(request: web.Request) -> web.StreamResponse:
    """Give the memory of a version back."""
    return json_response(_pin(await _residency(request).unpin(ref_of(request), request[CALLER])))


async def warm_document(request: web.Request) -> web.StreamResponse:
    """Bring a version's pages into memory; generates nothing."""
    ref = ref_of(request)
    if wants_events(request):
        return await progressing(request, lambda progress: _warm(request, ref, progress))
    return json_response(await _warm(request, ref, None))


async def _warm(request: web.Request, ref: DocumentRef, progress: ReportProgress | None) -> KvWarm:
    return _warmth(await _residency(request).warm(ref, request[CALLER], progress))


def _residency(request: web.Request) -> DocumentResidency:
    return request.app[COMPONENTS].publisher.residency


def _pin(report: PinReport) -> KvPin:
    return {
        "object": "kv_pin",
        "document": report.document,
        "asked": report.asked,
        "pinned": report.pinned,
        "limit": report.limit,
        "room": report.room,
        "budget": report.budget,
        "framings": [
            {"framing": f.framing, "asked": f.asked, "pinned": f.pinned, "limit": f.limit}
            for f in report.framings
        ],
    }


def _warmth(report: WarmReport) -> KvWarm:
    return {
        "object": "kv_warm",
        "document": report.document,
        "before": report.before,
        "after": report.after,
        "loaded": report.loaded,
        "computed": report.computed,
        "seconds": round(report.seconds, 3),
        "framings": [
            {
                "framing": f.framing,
                "tokens": f.tokens,
                "before": f.before,
                "after": f.after,
                "loaded": f.loaded,
                "computed": f.computed,
            }
            for f in report.framings
        ],
    }
