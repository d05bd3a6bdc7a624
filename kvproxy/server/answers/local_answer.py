"""Answers of the local model, whole or streamed; the dialects differ only in the encoder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from aiohttp import web

from kvproxy.backends.base import PlacesClaim
from kvproxy.charging.request_bill import Bill
from kvproxy.core import ChatRequest
from kvproxy.errors import KVProxyError
from kvproxy.events import Event, Finished, Started, TextDelta, Usage
from kvproxy.pipeline import Request
from kvproxy.reply import Reply
from kvproxy.server.answers.changed_headers import changed_headers, left_out_of
from kvproxy.server.answers.charged_answer import charged, preview_headers, settled_headers
from kvproxy.server.answers.client_stream import SseStream, deadline
from kvproxy.server.answers.reply_headers import reply_headers, status_of
from kvproxy.server.components import CALLER, COMPONENTS, REPLY, REQUEST_ID
from kvproxy.telemetry.request_timer import Timings
from kvproxy.wire.answers.answer_reader import Answer, AnswerBuilder, AnswerParser
from kvproxy.wire.answers.cache_status import early_status
from kvproxy.wire.answers.event_bytes import comment
from kvproxy.wire.answers.left_out import left_out_header

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answers:
    """All choices of a reply, its headers, and the usage of all of them together."""

    choices: tuple[Answer, ...]
    usage: Usage
    headers: Mapping[str, str]


class StreamEncoder(Protocol):
    """A dialect's encoder of events to bytes. Called in this order: begin, event any number of times, end."""

    def begin(self, started: Started, *, prompt_tokens: int, choices: int) -> bytes:
        """Encode the start: the prompt is prefilled and every choice has its first token."""

    def event(self, index: int, event: Event) -> bytes:
        """Encode an event of choice ``index``; its last one is Finished, with the usage of that choice alone."""

    def end(self, usage: Usage) -> bytes:
        """Encode the end of the stream. ``usage`` is that of all choices."""

    def error(self, error: KVProxyError) -> bytes:
        """Encode an error that ends the stream, at any point after its headers."""

    def pulse(self) -> bytes:
        """Return bytes that clients skip, for an idle stream."""


async def whole(
    request: web.Request, asked: Request, id: str, clock: Timings, *, silent: bool = False
) -> Answers:
    """Serve a request to its end, and settle its bill. ``id`` is unique for ever. ``silent``: the client gets no word
    of the answer, and pays for none.

    Raises the errors of ``Pipeline.serve``, TimedOut, and any error of the generation.
    Example: ``answers = await whole(request, chat, "chatcmpl-1", incoming.clock)``
    """
    async with charged(request, id) as bill:
        answers = await part(request, asked, id, clock, bill, silent=silent)
        usage = bill.told(answers.usage)
        return replace(answers, usage=usage, headers={**answers.headers, **await settled_headers(bill)})


async def part(
    request: web.Request,
    asked: Request,
    id: str,
    clock: Timings,
    bill: Bill,
    claim: PlacesClaim | None = None,
    *,
    silent: bool = False,
) -> Answers:
    """Serve a request, or one of several that are a client's together, to its end; its bill stays open.

    Raises as ``whole`` does. ``claim`` is ``Pipeline.serve``'s.
    Example: ``answers = await part(request, prompt, "cmpl-1.0", Timings(), bill, claim)``
    """
    async with deadline(request.app[COMPONENTS].timeout_s):
        async with served(request, asked, id, clock, bill, claim) as reply:
            gathered = [AnswerBuilder() for _ in reply.choices]
            finished: dict[int, Finished] = {}
            with clock.waiting():
                async with aclosing(events_of(reply, asked)) as events:
                    async for index, event in events:
                        if isinstance(event, Finished):
                            finished[index] = event
                            reply.meter.reasons[index] = event.reason
                        else:
                            gathered[index].add(event)
    choices = tuple(g.answer(finished[i].reason, finished[i].stopped_by) for i, g in enumerate(gathered))
    usage = total([finished[i].usage for i in sorted(finished)])
    if silent:
        usage = replace(usage, completion_tokens=0, reasoning_tokens=0)
    usage = reply.line.end(usage)
    return Answers(choices, usage, reply_headers(reply, asked))


async def stream(
    request: web.Request,
    asked: Request,
    id: str,
    clock: Timings,
    encoder: StreamEncoder,
    end: Callable[[Usage], Awaitable[bytes]] | None = None,
) -> web.StreamResponse:
    """Serve a request as an event stream. ``id`` must be unique in this process; ``end`` replaces ``encoder.end``.

    Errors before the stream's first byte pass through and become responses; later ones become the encoder's
    last event. Example: ``return await stream(request, chat, head.id, incoming.clock, ChatStream(head))``
    """

    async def last(usage: Usage) -> bytes:
        told = bill.told(usage)
        return encoder.end(told) if end is None else await end(told)

    async with answer_stream(request, asked, id, clock, encoder) as (out, bill):
        async with served(request, asked, id, clock, bill) as reply:
            await out.announce({**reply_headers(reply, asked), **preview_headers(bill)})
            await send_events(out, reply, asked, encoder, last)
    return out.response


@asynccontextmanager
async def answer_stream(
    request: web.Request, asked: Request, id: str, clock: Timings, encoder: StreamEncoder
) -> AsyncIterator[tuple[SseStream, Bill]]:
    """Open an event stream with a deadline, with the encoder's pulses and errors, and the bill of ``charged``.

    Example: ``async with answer_stream(request, chat, head.id, clock, ChatStream(head)) as (out, bill): ...``
    """
    components = request.app[COMPONENTS]

    def early() -> dict[str, str]:
        return {"Cache-Status": early_status(clock.decision), **changed_headers(asked)}

    sending = SseStream(
        request,
        interval_s=components.keepalive_s,
        early=early,
        pulse=encoder.pulse,
        on_error=encoder.error,
    )
    async with sending as out, charged(request, id) as bill, deadline(components.timeout_s):
        yield out, bill


@asynccontextmanager
async def served(
    request: web.Request,
    asked: Request,
    id: str,
    clock: Timings,
    bill: Bill,
    claim: PlacesClaim | None = None,
) -> AsyncIterator[Reply]:
    """Serve ``asked`` up to its first token, and close the reply at the end. Raises as ``Pipeline.serve`` does.

    The first reply of a request is the one that ``GET /kv/v1/requests`` shows.
    Example: ``async with served(request, chat, "chatcmpl-1", clock, bill) as reply: ...``
    """
    reply = await request.app[COMPONENTS].pipeline.serve(asked, request[CALLER], id, clock, claim, bill)
    request.setdefault(REPLY, reply)
    async with aclosing(reply):
        if left_out := left_out_of(asked, reply.started):
            told = left_out_header(left_out).values()
            logger.info("%s: answered without %s", request[REQUEST_ID], ", ".join(told))
        yield reply


async def send_events(
    out: SseStream,
    reply: Reply,
    asked: Request,
    encoder: StreamEncoder,
    end: Callable[[Usage], Awaitable[bytes]],
) -> None:
    """Send the events of all choices as they come: ``encoder.begin``, each event, then ``end(usage)``.

    ``usage`` is that of all choices together. An empty ``end`` means that another answer follows in this stream.

    Example: ``await send_events(out, reply, chat, encoder, last)``
    """
    choices, usages = len(reply.choices), dict[int, Usage]()
    if first := encoder.begin(reply.started, prompt_tokens=len(reply.prompt.token_ids), choices=choices):
        await out.send(first)
    async with aclosing(events_of(reply, asked)) as events:
        async for index, event in events:
            if isinstance(event, Finished):
                usages[index] = event.usage
                reply.meter.reasons[index] = event.reason
            data, last = encoder.event(index, event), b""
            if len(usages) == choices:
                usage = reply.line.end(total([usages[i] for i in sorted(usages)]))
                if not reply.started.confirmed:
                    data += comment(f"Cache-Status: {status_of(reply)}")
                last = await end(usage)
            if last:
                await out.finish(data + last)
            elif data:
                await out.send(data)


async def events_of(reply: Reply, asked: Request) -> AsyncGenerator[tuple[int, Event], None]:
    """Yield the parsed events of all choices as they come, as (index of the choice, event). Must be closed."""
    choices = [
        _parsed(choice, None if parsed else _parser(reply, asked), partial(reply.meter.event, index))
        for index, (choice, parsed) in enumerate(zip(reply.choices, reply.parsed, strict=True))
    ]
    if len(choices) == 1:
        async with aclosing(choices[0]) as only:
            async for event in only:
                yield 0, event
        return
    async with aclosing(_merged(choices)) as events:
        async for pair in events:
            yield pair


def total(usages: list[Usage]) -> Usage:
    """Add up the usage of all choices: the prompt counts once, as in the first choice; completions add up."""
    drafted = [u.prediction for u in usages if u.prediction is not None]
    return replace(
        usages[0],
        completion_tokens=sum(u.completion_tokens for u in usages),
        reasoning_tokens=sum(u.reasoning_tokens for u in usages),
        prediction=(sum(a for a, _ in drafted), sum(r for _, r in drafted)) if drafted else None,
    )


def _parser(reply: Reply, asked: Request) -> AnswerParser | None:
    """Return the parser of the answer's raw text, or None for a text completion."""
    if not isinstance(asked, ChatRequest):
        return None
    calls = bool(asked.tools) and asked.tool_choice.mode != "none"
    return AnswerParser(
        reasoning=reply.prompt.reasoning,
        tool_format=reply.prompt.tool_format if calls else None,
        tools=asked.tools,
    )


async def _parsed(
    choice: AsyncGenerator[Event, None], parser: AnswerParser | None, count: Callable[[Event], None]
) -> AsyncGenerator[Event, None]:
    finished = False
    async for event in choice:
        count(event)
        finished = finished or isinstance(event, Finished)
        if parser is not None and isinstance(event, TextDelta):
            for parsed in parser.push(event):
                yield parsed
        elif parser is not None and isinstance(event, Finished):
            for parsed in parser.finish(event):
                yield parsed
        else:
            yield event
    if not finished:
        raise RuntimeError("a generation ended without its final event")


async def _merged(choices: list[AsyncGenerator[Event, None]]) -> AsyncGenerator[tuple[int, Event], None]:
    """Merge the events of all choices as they come; ends after the last choice, or with the first failure."""
    waiting = {asyncio.ensure_future(anext(choice, None)): i for i, choice in enumerate(choices)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=waiting.__getitem__):
                index = waiting.pop(task)
                event = task.result()
                if event is not None:
                    yield index, event
                    waiting[asyncio.ensure_future(anext(choices[index], None))] = index
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for choice in choices:
            await choice.aclose()
