"""The handler of ``POST /v1/completions``."""

from __future__ import annotations

import asyncio
import time
import uuid

from aiohttp import web

from kvproxy.backends.base import PlacesClaim
from kvproxy.charging.request_bill import Bill
from kvproxy.core import TextRequest
from kvproxy.events import Usage
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.server.answers.charged_answer import charged, preview_headers, settled_headers
from kvproxy.server.answers.client_stream import deadline
from kvproxy.server.answers.local_answer import (
    Answers,
    answer_stream,
    part,
    send_events,
    served,
    stream,
    whole,
)
from kvproxy.server.answers.reply_headers import reply_headers
from kvproxy.server.answers.upstream_answer import serve_upstream
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.receive_conversation import receive_prompt
from kvproxy.telemetry.request_timer import Timings
from kvproxy.wire.completions.completion_response import (
    CompletionHead,
    CompletionStream,
    sum_usages,
    text_completion,
)
from kvproxy.wire.completions.parse_completion import Completions, parse_completions

AT_ONCE = 8
"""Choices that one request with several prompts has in the engine at a time, or the choices of one prompt where those
are more: one request must not fill the engine's queue."""


async def completions(request: web.Request) -> web.StreamResponse:
    """Answer a text completion of one prompt or several, whole or streamed."""
    incoming = await receive_prompt(request)
    if not incoming.local:
        return await serve_upstream(request, "completions", incoming)
    clock = incoming.clock
    asked = await incoming.parsed(parse_completions, served_name=incoming.model)
    first = asked.prompts[0]
    head = CompletionHead(f"cmpl-{uuid.uuid4().hex}", int(time.time()), incoming.model)
    logprobs = first.sampling.logprobs is not None
    echoes: list[str] | None = None
    if asked.echo:
        echoes = await off_loop_if_large(
            len(incoming.raw), lambda: [_echo(request, prompt) for prompt in asked.prompts]
        )
    if asked.stream:
        encoder = CompletionStream(
            head, n=first.n, include_usage=asked.include_usage, logprobs=logprobs, echoes=echoes
        )
        if len(asked.prompts) == 1:
            return await stream(request, first, head.id, clock, encoder)
        return await _stream_each(request, asked, head.id, clock, encoder)
    answers = await _all(request, asked, head.id, clock)
    body = text_completion(
        head,
        answers.choices,
        answers.usage,
        logprobs=logprobs,
        echoes=None if echoes is None else [echo for echo in echoes for _ in range(first.n)],
    )
    return json_response(body, headers=dict(answers.headers))


def _echo(request: web.Request, asked: TextRequest) -> str:
    if isinstance(asked.prompt, str):
        return asked.prompt
    return request.app[COMPONENTS].served(asked.model).composer.decode(list(asked.prompt))


async def _all(request: web.Request, asked: Completions, id: str, clock: Timings) -> Answers:
    """Answer every prompt; the first failure ends the others. The response has the first answer's headers, and one
    price."""
    if len(asked.prompts) == 1:
        return await whole(request, asked.prompts[0], id, clock)
    async with charged(request, id) as bill:
        answers = await _each(request, asked, id, clock, bill)
        usage = bill.told(sum_usages([answer.usage for answer in answers]))
        choices = tuple(choice for answer in answers for choice in answer.choices)
        return Answers(choices, usage, {**answers[0].headers, **await settled_headers(bill)})


async def _each(
    request: web.Request, asked: Completions, id: str, clock: Timings, bill: Bill
) -> list[Answers]:
    first, pipeline = asked.prompts[0], request.app[COMPONENTS].pipeline
    parts = {f"{id}.{number}": prompt for number, prompt in enumerate(asked.prompts)}
    at_once = min(len(asked.prompts), pipeline.at_once(first, AT_ONCE))
    room = asyncio.Semaphore(at_once)

    async def one(number: int, name: str, claim: PlacesClaim) -> Answers:
        async with room:
            of_first = clock if number == 0 else Timings()
            return await part(request, parts[name], name, of_first, bill, claim)

    await pipeline.order(bill, parts, request[CALLER])
    with pipeline.claim(first, request[CALLER], at_once) as claim:
        tasks = [asyncio.create_task(one(n, name, claim)) for n, name in enumerate(parts)]
        try:
            # Each answer has the same deadline of its own, which begins when there is room for it.
            async with deadline(request.app[COMPONENTS].timeout_s):
                return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _stream_each(
    request: web.Request, asked: Completions, id: str, clock: Timings, encoder: CompletionStream
) -> web.StreamResponse:
    """Stream the answers of several prompts one after another."""
    first, counted, pipeline = asked.prompts[0], list[Usage](), request.app[COMPONENTS].pipeline
    parts = {f"{id}.{number}": prompt for number, prompt in enumerate(asked.prompts)}
    with pipeline.claim(first, request[CALLER], 1) as claim:
        async with answer_stream(request, first, id, clock, encoder) as (out, bill):

            async def end(usage: Usage) -> bytes:
                counted.append(usage)
                ended = len(counted) == len(parts)
                return encoder.end(bill.told(sum_usages(counted))) if ended else b""

            await pipeline.order(bill, parts, request[CALLER])
            for name, prompt in parts.items():
                if counted:
                    encoder.next_prompt()
                async with served(request, prompt, name, clock, bill, claim) as reply:
                    await out.start({**reply_headers(reply, prompt), **preview_headers(bill)})
                    await send_events(out, reply, prompt, encoder, end)
                clock = Timings()
    return out.response
