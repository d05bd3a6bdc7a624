"""Handlers of the playground: the same question twice, once computed from scratch and once from kept pages."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from kvproxy.core import Caller, ChatRequest
from kvproxy.core.report_progress import ReportProgress
from kvproxy.dashboard.views.playground_view import (
    NO_COLD,
    AskedQuestion,
    PlaygroundDocument,
    PlaygroundView,
    Side,
    SideAnswer,
    asked_question,
    compare_answers,
    question_for,
)
from kvproxy.documents.library.document_listing import ListingQuery
from kvproxy.errors import InvalidRequest, KVProxyError, NotReady, Overloaded, PaymentRequired
from kvproxy.events import Usage
from kvproxy.example_documents import EXAMPLES, example_text
from kvproxy.server.answers.charged_answer import preview_headers
from kvproxy.server.answers.local_answer import answer_stream, send_events, served, whole
from kvproxy.server.answers.progress_events import progressing
from kvproxy.server.answers.reply_headers import reply_headers
from kvproxy.server.components import CALLER, COMPONENTS, MODEL, REPLY
from kvproxy.server.dashboard.dashboard_access import read_form
from kvproxy.server.dashboard.dashboard_answer import done_answer, scope_of, view_answer
from kvproxy.server.dashboard.dashboard_headers import HEADERS
from kvproxy.server.dashboard.document_figures import has_prices
from kvproxy.server.dashboard.playground_stream import PlaygroundStream, token_texts
from kvproxy.server.middleware.watching import note_model_request
from kvproxy.server.requests.model_names import resolve_model
from kvproxy.server.requests.query_switches import wants_events
from kvproxy.telemetry.request_timer import Timings
from kvproxy.wire.chat.parse_chat import parse_chat
from kvproxy.wire.kv_documents.document_ref import parse_document_ref

PATH = "/ui/playground"
OFFERED = 50
"""Documents in the list to choose from; any other is named in the URL by the documents view."""

_EXAMPLE = EXAMPLES[0]
_SIDES: Mapping[str, Side] = {"cold": "cold", "warm": "warm"}
_OF_EITHER_SIDE = (NotReady, Overloaded, PaymentRequired)
"""Refusals that the second side would only repeat."""


async def playground_view(request: web.Request) -> web.StreamResponse:
    """Show the form, with the document of the query where it names one."""
    return view_answer(request, "playground.html", {"playground": await _view(request, request.query)})


async def playground_asked(request: web.Request) -> web.StreamResponse:
    """Answer the form of a browser without scripts: both sides, one after the other, and what they came to."""
    fields = await read_form(request)
    shown = await _view(request, fields)
    sides: dict[Side, SideAnswer] = {}
    for side in ("cold", "warm"):
        if (before := sides.get("cold")) is not None:
            note_model_request(request, before.status)
        sides[side] = await _whole(request, shown.asked, side)
    cold, warm = sides["cold"], sides["warm"]
    compared = None if cold.fault or warm.fault else compare_answers(cold, warm)
    shown = replace(shown, cold=cold, warm=warm, compared=compared)
    return view_answer(request, "playground.html", {"playground": shown})


async def playground_answer(request: web.Request) -> web.StreamResponse:
    """Stream one side's answer. A client that leaves ends the generation, and pays as for any other request."""
    fields = await read_form(request)
    side = _SIDES.get(fields.get("side", ""))
    if side is None:
        raise InvalidRequest("Invalid 'side': cold or warm.", param="side")
    clock = Timings()
    chat = _chat(request, asked_question(fields, (), ""), side)
    encoder = PlaygroundStream()

    async def last(usage: Usage) -> bytes:
        return encoder.end(bill.told(usage))

    async with answer_stream(request, chat, _id(), clock, encoder) as (out, bill):
        async with served(request, chat, bill.request_id, clock, bill) as reply:
            await out.announce({**HEADERS, **reply_headers(reply, chat), **preview_headers(bill)})
            await out.send(encoder.started(reply))
            await send_events(out, reply, chat, encoder, last)
    return out.response


async def publish_example(request: web.Request) -> web.StreamResponse:
    """Publish the bundled example for the caller, with progress where the client asks for events."""
    if wants_events(request):

        async def published(progress: ReportProgress) -> Mapping[str, str]:
            done = await _publish(request, progress)
            return {"document": done, "said": f"Published {done}.", "path": PATH}

        return await progressing(request, published)
    return done_answer(request, f"Published {await _publish(request, None)}.", PATH)


async def _publish(request: web.Request, progress: ReportProgress | None) -> str:
    text = await asyncio.to_thread(example_text, _EXAMPLE.file)
    publisher = request.app[COMPONENTS].publisher
    published = await publisher.publish(_EXAMPLE.id, text, None, request[CALLER], progress)
    return f"{published.info.id}@{published.info.version}"


async def _view(request: web.Request, fields: Mapping[str, str]) -> PlaygroundView:
    components, scope = request.app[COMPONENTS], scope_of(request)
    models = components.pipeline.models
    documents = await _documents(request, scope.caller)
    asked = asked_question(fields, documents, _EXAMPLE.id)
    missing = ""
    if asked.document and all(one.name != asked.document for one in documents):
        missing = _why_missing(request, asked.document)
        if not missing:
            documents = (*documents, PlaygroundDocument(asked.document, 0, asked.question))
    return PlaygroundView(
        documents=documents,
        asked=asked,
        models=models.names,
        may_publish=scope.may("publish"),
        example=_EXAMPLE.title,
        exact=models.primary.backend.info.exact,
        priced=has_prices(components.market),
        missing=missing,
    )


def _why_missing(request: web.Request, name: str) -> str:
    """Return why the caller cannot ask about a document; empty where it can."""
    library = request.app[COMPONENTS].publisher.library
    try:
        library.resolve(parse_document_ref(name, param="document"), request[CALLER])
    except KVProxyError as e:
        return e.message
    return ""


async def _documents(request: web.Request, caller: Caller) -> tuple[PlaygroundDocument, ...]:
    """Return the documents that were read last, then others by name."""
    publisher = request.app[COMPONENTS].publisher
    query = ListingQuery(by="last_read", descending=True, most=OFFERED)
    found = await publisher.listed(caller, query)
    return tuple(
        PlaygroundDocument(
            f"{known.document.id}@{known.document.version}",
            len(known.tokenized.token_ids),
            question_for(known.document.ref),
        )
        for known in found.documents
    )


def _chat(request: web.Request, asked: AskedQuestion, side: Side) -> ChatRequest:
    """Return the request of one side, parsed as the API parses it. Raises InvalidRequest, ModelNotFound."""
    components = request.app[COMPONENTS]
    names = components.pipeline.models.names
    model = request[MODEL] = (
        resolve_model(request, asked.model) if asked.model else components.pipeline.models.primary.name
    )
    if model not in names:
        raise InvalidRequest(f"'{model}' is an upstream's: nothing of its KV is kept here.", param="model")
    return parse_chat(asked.body(side, model), served_name=model, policy=components.policy)


async def _whole(request: web.Request, asked: AskedQuestion, side: Side) -> SideAnswer:
    clock = Timings()
    try:
        answers = await whole(request, _chat(request, asked, side), _id(), clock)
    except _OF_EITHER_SIDE:
        raise
    except KVProxyError as e:
        return SideAnswer(fault=NO_COLD if e.param == "kv_reuse" else e.message, status=e.http_status)
    reply, usage, [answer] = request[REPLY], answers.usage, answers.choices
    return SideAnswer(
        text=answer.reasoning + answer.text,
        tokens=tuple(token_texts(answer.logprobs)),
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        ttft_s=reply.ttft_s,
        total_s=clock.elapsed_s,
        charge=usage.charge,
    )


def _id() -> str:
    return f"playground-{uuid.uuid4().hex}"
