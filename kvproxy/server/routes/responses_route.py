"""Handlers of ``/v1/responses``: answer, whole or streamed; read and delete stored responses; count input tokens."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from kvproxy.core import ChatRequest
from kvproxy.errors import (
    ContextTooLong,
    InvalidRequest,
    KVProxyError,
    PreviousResponseNotFound,
    ResponseNotFound,
)
from kvproxy.events import Usage
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.server.answers.local_answer import stream, whole
from kvproxy.server.answers.upstream_answer import serve_upstream
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.read_request import Incoming
from kvproxy.server.requests.receive_conversation import receive_conversation
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.bodies.whole_number import whole_number
from kvproxy.wire.responses.call_items import CallItems
from kvproxy.wire.responses.conversation_items import normal_items, references
from kvproxy.wire.responses.parse_response import open_response, to_chat
from kvproxy.wire.responses.response_answer import complete_response
from kvproxy.wire.responses.response_body import ResponsesBody, parse_body
from kvproxy.wire.responses.response_ids import ResponseIds, owner
from kvproxy.wire.responses.response_stream import ResponseStream
from kvproxy.wire.responses.stored_response import Order, StoredResponse, page
from kvproxy.wire.responses.types import InputTokens, Item, Response, ResponseDeleted

logger = logging.getLogger(__name__)

MOST_ITEMS = 100
WRITTEN_S = 2.0
"""Seconds that the end of an answer waits for its record to be written."""


async def create(request: web.Request) -> web.StreamResponse:
    """Answer a request of the Responses API, by a served model or an upstream's; store the response unless
    ``store`` is false."""
    incoming = await receive_conversation(request)
    if not incoming.local:
        return await serve_upstream(request, "responses", incoming)
    clock = incoming.clock
    ids = ResponseIds(uuid.uuid4().hex)
    with _about_input():
        body, items, chat = await understand_response(request, incoming, ids)
        response = open_response(body, chat, ids, created=int(time.time()))
        response["store"] = response["store"] and request[CALLER].retains(chat.cache)
        keeper = _Keeper(request, items) if response["store"] else None
        calls = CallItems(chat.tools)
        if chat.stream:
            encoder = ResponseStream(response, ids, time.time, calls)

            async def end(usage: Usage) -> bytes:
                """Store the response before its last event is sent. A client that leaves stores nothing."""
                data = encoder.end(usage)
                if keeper is not None and encoder.response is not None:
                    await keeper.keep(encoder.response)
                return data

            return await stream(request, chat, ids.response, clock, encoder, end)
        answers = await whole(request, chat, ids.response, clock)
    done = complete_response(
        response, ids, answers.choices[0], answers.usage, at=int(time.time()), calls=calls
    )
    if keeper is not None:
        await keeper.keep(done)
    return json_response(done, headers=dict(answers.headers))


async def count(request: web.Request) -> web.StreamResponse:
    """Count the input tokens that ``create`` would count."""
    incoming = await receive_conversation(request)
    if not incoming.local:
        raise InvalidRequest("Tokens are counted only for models whose KV is managed here.", param="model")
    with _about_input():
        _, _, chat = await understand_response(request, incoming, ResponseIds(uuid.uuid4().hex))
        prompt = await request.app[COMPONENTS].served(incoming.model).compose(chat, request[CALLER])
    counted: InputTokens = {"object": "response.input_tokens", "input_tokens": len(prompt.token_ids)}
    return json_response(counted)


async def retrieve(request: web.Request) -> web.StreamResponse:
    """Return a stored response."""
    if request.query.get("stream", "false").lower() not in ("false", "0"):
        raise InvalidRequest(
            "A stored response cannot be streamed again. Leave 'stream' out.", param="stream"
        )
    return json_response((await _stored(request)).response)


async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a stored response."""
    id = request.match_info["id"]
    if not await request.app[COMPONENTS].responses.delete(request[CALLER].scope, id):
        raise ResponseNotFound(id)
    deleted: ResponseDeleted = {"id": id, "object": "response", "deleted": True}
    return json_response(deleted)


async def input_items(request: web.Request) -> web.StreamResponse:
    """Return a page of a stored response's input items."""
    limit = _limit(request.query.get("limit", "20"))
    order = _order(request.query.get("order", "desc"))
    items = (await _stored(request)).input
    return json_response(page(items, limit=limit, order=order, after=request.query.get("after")))


async def cancel(request: web.Request) -> web.StreamResponse:
    """Refuse to cancel: no response runs in the background."""
    await _stored(request)
    raise InvalidRequest(
        "Cannot cancel a synchronous response: only background responses can be cancelled, and kvproxy has none. "
        "Close the connection instead."
    )


class _Keeper:
    """Stores a finished response with its input items, readable by its caller only."""

    def __init__(self, request: web.Request, items: list[Item]) -> None:
        self._store = request.app[COMPONENTS].responses
        self._scope = request[CALLER].scope
        self._items = items

    async def keep(self, response: Response) -> None:
        """Write a response before its client has the whole answer, so that a kill afterwards does not lose it. One
        that takes longer is written later: until then this process finds it in memory."""
        written = self._store.put(self._scope, response["id"], StoredResponse(response, self._items).encode())
        await asyncio.wait((written,), timeout=WRITTEN_S)


async def understand_response(
    request: web.Request, incoming: Incoming, ids: ResponseIds
) -> tuple[ResponsesBody, list[Item], ChatRequest]:
    """Return the parsed body, the items of the whole conversation, and the chat request to the model.

    Example: ``body, items, chat = await understand_response(request, incoming, ids)``
    """
    components = request.app[COMPONENTS]
    reading = RequestReading(components.policy)
    body = await incoming.parsed(parse_body, reading)
    with incoming.clock.waiting():
        stored = _StoredItems(request, incoming.model)
        before = await stored.before(body)
        known = {item["id"]: item for item in before} | await stored.referenced(body, before)

    def understood() -> tuple[list[Item], ChatRequest]:
        items = before + normal_items(body.input or (), ids, known, reading)
        return items, to_chat(body, items, served_name=incoming.model, reading=reading)

    with incoming.clock.measure("parse"):
        items, chat = await off_loop_if_large(len(incoming.raw) + stored.size, understood)
    return body, items, chat


class _StoredItems:
    """The items of the stored responses that a request continues or references: no more items than the model takes
    tokens."""

    def __init__(self, request: web.Request, model: str) -> None:
        self._store = request.app[COMPONENTS].responses
        self._scope = request[CALLER].scope
        self._limit = request.app[COMPONENTS].served(model).max_context
        self._items = 0
        self.size = 0
        """Bytes of the records that were read."""

    async def before(self, body: ResponsesBody) -> list[Item]:
        """Return the conversation that the request continues. Raises PreviousResponseNotFound, ContextTooLong."""
        id = body.previous_response_id
        if id is None:
            return []
        found = await self._conversation(id)
        if found is None:
            raise PreviousResponseNotFound(id)
        return found

    async def referenced(self, body: ResponsesBody, before: list[Item]) -> dict[str, Item]:
        """Return the items of all stored responses from which the request references items, by item id. Raises
        ContextTooLong."""
        missing = set(references(body.input or ())) - {item["id"] for item in before}
        found: dict[str, Item] = {}
        for response_id in sorted({id for item in missing if (id := owner(item)) is not None}):
            conversation = await self._conversation(response_id)
            found |= {item["id"]: item for item in conversation or ()}
        return found

    async def _conversation(self, response_id: str) -> list[Item] | None:
        record = await self._store.get(self._scope, response_id)
        stored = None if record is None else await _decoded(response_id, record)
        if record is None or stored is None:
            return None
        self.size += len(record)
        conversation = stored.conversation
        self._items += len(conversation)
        if self._items > self._limit:
            raise ContextTooLong(
                limit=self._limit,
                prompt_tokens=self._items,
                completion_tokens=1,
                at_least=True,
                param="previous_response_id",
            )
        return conversation


async def _decoded(id: str, record: bytes) -> StoredResponse | None:
    """Decode a record. One that cannot be read is logged and None: the API treats it as deleted."""
    stored = await off_loop_if_large(len(record), lambda: StoredResponse.decode(record))
    if stored is None:
        logger.error("response %s is not served: its record cannot be read", id)
    return stored


async def _stored(request: web.Request) -> StoredResponse:
    id = request.match_info["id"]
    record = await request.app[COMPONENTS].responses.get(request[CALLER].scope, id)
    stored = None if record is None else await _decoded(id, record)
    if stored is None:
        raise ResponseNotFound(id)
    return stored


@contextmanager
def _about_input() -> Iterator[None]:
    """Name ``input`` in errors about ``messages``: the client sent no messages."""
    try:
        yield
    except KVProxyError as e:
        if e.param is not None and e.param.split("[")[0] == "messages":
            e.param = "input"
        raise


def _limit(text: str) -> int:
    limit = whole_number(text, MOST_ITEMS)
    if not limit:
        raise InvalidRequest(f"Invalid 'limit': must be from 1 to {MOST_ITEMS}.", param="limit")
    return limit


def _order(text: str) -> Order:
    orders: dict[str, Order] = {"asc": "asc", "desc": "desc"}
    if text in orders:
        return orders[text]
    raise InvalidRequest("Invalid 'order': must be 'asc' or 'desc'.", param="order")
