"""``POST /v1/completions``."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import aclosing

from aiohttp import web

from kvproxy.backends.base import PlacesClaim
from kvproxy.core import TextRequest
from kvproxy.events import Finished, Usage
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.server.answers.client_stream import SseStream
from kvproxy.server.answers.local_answer import Answers, events_of, reply_headers, stream, total, whole
from kvproxy.server.answers.upstream_answer import serve_upstream
from kvproxy.server.components import CALLER, PARTS
from kvproxy.server.middleware.deadline import deadline
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.middleware.watching import note_reply
from kvproxy.server.requests.request_head import receive
from kvproxy.telemetry.request_timer import Timings
from kvproxy.wire.answers.cache_status import early_status
from kvproxy.wire.completions.completion_response import (
    CompletionHead,
    CompletionStream,
    summed,
    text_completion,
)
from kvproxy.wire.completions.parse_completion import Completions, parse_completions

AT_ONCE = 8
"""Choices of one request with several prompts that are in the engine together, or those of one prompt where they are
more: one request must not fill its queue."""


async def completions(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    incoming = await receive(request)
    if not incoming.local:
        return await serve_upstream(request, "completions", incoming)
    clock = incoming.clock
    asked = await incoming.parsed(lambda: parse_completions(incoming.body, served_name=parts.served_name))
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
        [choice for answer in answers for choice in answer.choices],
        summed([answer.usage for answer in answers]),
        logprobs=logprobs,
        echoes=None if echoes is None else [echo for echo in echoes for _ in range(first.n)],
    )
    return json_response(body, headers=dict(answers[0].headers))


def _echo(request: web.Request, asked: TextRequest) -> str:
    if isinstance(asked.prompt, str):
        return asked.prompt
    return request.app[PARTS].pipeline.decode(list(asked.prompt))


async def _all(request: web.Request, asked: Completions, id: str, clock: Timings) -> list[Answers]:
    """Every prompt's answer; the first failure ends the others. The headers told are the first prompt's."""
    if len(asked.prompts) == 1:
        return [await whole(request, asked.prompts[0], id, clock)]
    first, pipeline = asked.prompts[0], request.app[PARTS].pipeline
    at_once = min(len(asked.prompts), pipeline.at_once(first, AT_ONCE))
    room = asyncio.Semaphore(at_once)

    async def one(number: int, prompt: TextRequest, claim: PlacesClaim) -> Answers:
        async with room:
            of_first = clock if number == 0 else Timings()
            return await whole(request, prompt, f"{id}.{number}", of_first, claim)

    with pipeline.claim(first, request[CALLER], at_once) as claim:
        tasks = [asyncio.create_task(one(n, prompt, claim)) for n, prompt in enumerate(asked.prompts)]
        try:
            # Each has the same limit of its own, but begins when there is room.
            async with deadline(request.app[PARTS].timeout_s):
                return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _stream_each(
    request: web.Request, asked: Completions, id: str, clock: Timings, encoder: CompletionStream
) -> web.StreamResponse:
    """One prompt after another in one stream."""
    parts = request.app[PARTS]

    def early() -> dict[str, str]:
        return {"Cache-Status": early_status(clock.decision)}

    sending = SseStream(
        request, interval_s=parts.keepalive_s, early=early, pulse=encoder.pulse, on_error=encoder.error
    )
    first = asked.prompts[0]
    with parts.pipeline.claim(first, request[CALLER], 1) as claim:
        async with sending as out, deadline(parts.timeout_s):
            counted: list[Usage] = []
            for number, prompt in enumerate(asked.prompts):
                if number:
                    encoder.next_prompt()
                counted.append(
                    await _stream_one(request, prompt, f"{id}.{number}", clock, encoder, out, claim)
                )
                clock = Timings()
            await out.send(encoder.end(summed(counted)))
    return sending.response


async def _stream_one(
    request: web.Request,
    prompt: TextRequest,
    id: str,
    clock: Timings,
    encoder: CompletionStream,
    out: SseStream,
    claim: PlacesClaim,
) -> Usage:
    reply = await request.app[PARTS].pipeline.serve(prompt, request[CALLER], id, clock, claim)
    note_reply(request, reply)
    async with aclosing(reply):
        await out.start(reply_headers(reply, prompt))
        prompt_tokens = len(reply.prompt.token_ids)
        if front := encoder.begin(reply.started, prompt_tokens=prompt_tokens, choices=len(reply.choices)):
            await out.send(front)
        usages: dict[int, Usage] = {}
        async with aclosing(events_of(reply, prompt)) as events:
            async for index, event in events:
                if isinstance(event, Finished):
                    usages[index] = event.usage
                if data := encoder.event(index, event):
                    await out.send(data)
    return total([usages[i] for i in sorted(usages)])
