"""Handlers of what can be done with documents: publish, warm, pin, unpin, verify, revoke, delete.

Each calls what its operation of the HTTP API calls, as the same caller, and answers with the same errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from kvproxy.core import DocumentRef
from kvproxy.core.report_progress import ReportProgress
from kvproxy.dashboard.views.documents_view import document_path
from kvproxy.errors import DocumentRejected, InvalidRequest
from kvproxy.publishing.pin_budget import PinReport
from kvproxy.server.answers.progress_events import progressing
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.dashboard.dashboard_access import read_form
from kvproxy.server.dashboard.dashboard_answer import done_answer
from kvproxy.server.requests.document_refs import ref_of
from kvproxy.server.requests.query_switches import wants_events
from kvproxy.server.routes.documents_route import delete_named, publish_document, verify_named
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.kv_documents.document_bodies import PublishBody
from kvproxy.wire.kv_documents.version_bodies import RevokeBody


@dataclass(frozen=True, slots=True)
class Said:
    """The sentence on an action that was done, and the path of the view that shows it."""

    words: str
    path: str
    alarm: bool = False
    """True where it is bad news."""


Work = Callable[[web.Request, Mapping[str, str], ReportProgress | None], Awaitable[Said]]


async def publish_text(request: web.Request) -> web.StreamResponse:
    """Publish an uploaded file or a pasted text."""
    return await _done(request, await read_form(request), _publish)


async def act_on_document(request: web.Request) -> web.StreamResponse:
    """Do with a document what the form's ``action`` says. Raises InvalidRequest for an unknown one."""
    fields = await read_form(request)
    work = _ACTIONS.get(fields.get("action", ""))
    if work is None:
        raise InvalidRequest(f"Invalid 'action': one of {', '.join(_ACTIONS)}.", param="action")
    return await _done(request, fields, work)


async def _done(request: web.Request, fields: Mapping[str, str], work: Work) -> web.StreamResponse:
    """Do the work, with progress where the client asks for events, else with a redirect at its end."""
    if not wants_events(request):
        said = await work(request, fields, None)
        return done_answer(request, said.words, said.path, alarm=said.alarm)

    async def result(progress: ReportProgress) -> Mapping[str, Any]:
        said = await work(request, fields, progress)
        return {"said": said.words, "path": said.path, "alarm": said.alarm}

    return await progressing(request, result)


async def _publish(request: web.Request, fields: Mapping[str, str], progress: ReportProgress | None) -> Said:
    pasted = fields.get("text", "").replace("\r\n", "\n")
    text = await _uploaded(request, pasted) or pasted
    try:
        wanted = PublishBody.model_validate(
            {
                "id": fields.get("id", "").strip(),
                "text": text,
                "visibility": fields.get("visibility") or None,
                "pinned": True if fields.get("pinned") == "1" else None,
            }
        )
    except ValidationError as e:
        raise invalid(e) from e
    published = await publish_document(request, wanted, progress)
    info = published.info
    done = (
        f"Published {info.id}@{info.version}: {info.tokens:,} tokens, read in {published.prefill_s:.1f} s."
        if published.created
        else f"{info.id}@{info.version} has this text already."
    )
    return Said(done, document_path(info.id))


async def _uploaded(request: web.Request, pasted: str) -> str:
    """Return the text of the form's file; empty where none was chosen. Raises DocumentRejected."""
    file = (await request.post()).get("file")
    if not isinstance(file, web.FileField) or not file.filename:
        return ""
    raw = await asyncio.to_thread(file.file.read)
    if fault := _fault_of_file(raw, pasted):
        raise DocumentRejected(fault, param="file")
    try:
        return await asyncio.to_thread(raw.decode, "utf-8-sig")
    except UnicodeDecodeError as e:
        raise DocumentRejected(
            f"The file is not a text in UTF-8: byte {e.start} cannot be read. Convert it, or paste its text.",
            param="file",
        ) from e


def _fault_of_file(raw: bytes, pasted: str) -> str:
    if pasted.strip():
        return "There is a file, and a pasted text as well: leave one of them out."
    if not raw.strip():
        return "The file is empty. Choose one with words in it."
    # Of UTF-16 without a mark each byte can be one of UTF-8: half of them are zeros, which no text has.
    return (
        "The file is not a text in UTF-8: it has bytes of 0. Convert it, or paste its text."
        if 0 in raw
        else ""
    )


async def _warm(request: web.Request, fields: Mapping[str, str], progress: ReportProgress | None) -> Said:
    report = await request.app[COMPONENTS].publisher.residency.warm(
        ref_of(request), request[CALLER], progress
    )
    if not report.loaded and not report.computed:
        return Said(f"{report.document} was warm already: all of it is in memory.", _here(request))
    done = f"{report.document} is warm: {report.loaded:,} tokens loaded, {report.computed:,} computed"
    return Said(f"{done}, in {report.seconds:.1f} s.", _here(request))


async def _pin(request: web.Request, fields: Mapping[str, str], progress: ReportProgress | None) -> Said:
    residency = request.app[COMPONENTS].publisher.residency
    partial = fields.get("partial") == "1"
    return Said(
        _pinned(await residency.pin(ref_of(request), request[CALLER], partial=partial)), _here(request)
    )


async def _unpin(request: web.Request, fields: Mapping[str, str], progress: ReportProgress | None) -> Said:
    report = await request.app[COMPONENTS].publisher.residency.unpin(ref_of(request), request[CALLER])
    return Said(f"{report.document} is not pinned any more.", _here(request))


async def _verify(request: web.Request, fields: Mapping[str, str], progress: ReportProgress | None) -> Said:
    found = await verify_named(request, ref_of(request), progress)
    compared = [one for one in found["data"] if not one["note"]]
    notes = "; ".join(f"{one['framing']}: {one['note']}" for one in found["data"] if one["note"])
    if not compared:
        return Said(f"Nothing could be compared: {notes}", _here(request), alarm=True)
    tokens = sum(one["greedy_tokens"] for one in compared)
    equal = sum(one["equal_greedy"] for one in compared)
    if found["agrees"] is not None:
        done = f"{equal:,} of {tokens:,} answer tokens agree; a fleet promises no more than that."
    else:
        places, same = (sum(one[key] for one in compared) for key in ("positions", "equal_positions"))
        verdict = "Exact" if found["exact"] else "Not exact"
        done = (
            f"{verdict}: {same:,} of {places:,} positions have the same bits, and {equal:,} of {tokens:,} answer "
            "tokens are the same."
        )
    return Said(
        f"{done} {notes}".strip(), _here(request), alarm=found["agrees"] is None and not found["exact"]
    )


async def _revoke(request: web.Request, fields: Mapping[str, str], progress: ReportProgress | None) -> Said:
    try:
        body = RevokeBody.model_validate({"reason": fields.get("reason", "").strip()})
    except ValidationError as e:
        raise invalid(e) from e
    ref = ref_of(request)
    revoked = await request.app[COMPONENTS].publisher.endings.revoke(ref, request[CALLER], body.reason)
    return Said(f"Revoked {', '.join(map(str, revoked))}: {body.reason}", "/ui/documents")


async def _delete(request: web.Request, fields: Mapping[str, str], progress: ReportProgress | None) -> Said:
    ref: DocumentRef = ref_of(request)
    await delete_named(request, ref)
    return Said(f"Deleted {ref}.", "/ui/documents")


def _pinned(report: PinReport) -> str:
    if report.limit is None:
        return f"Pinned {report.document}: {report.pinned:,} pages stay in memory."
    return f"Pinned {report.pinned:,} of {report.asked:,} pages of {report.document} (limit: {report.limit})."


def _here(request: web.Request) -> str:
    ref = ref_of(request)
    return document_path(ref.id, ref.version)


_ACTIONS: Mapping[str, Work] = {
    "warm": _warm,
    "pin": _pin,
    "unpin": _unpin,
    "verify": _verify,
    "revoke": _revoke,
    "delete": _delete,
}
