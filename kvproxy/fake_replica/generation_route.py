"""The endpoints that generate: ``/v1/completions``, a plain ``/v1/chat/completions``, ``/inference/v1/generate``."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol

from aiohttp import web

from kvproxy.fake_replica.choice_steps import ChoiceStep, choice_steps
from kvproxy.fake_replica.completion_answers import DONE, CompletionAnswers, sse
from kvproxy.fake_replica.completion_query import CompletionQuery, checked_length, completion_query
from kvproxy.fake_replica.fake_engine import EnginePrompt
from kvproxy.fake_replica.fake_generation import FakeGeneration, answer_after
from kvproxy.fake_replica.replica_bodies import json_object
from kvproxy.fake_replica.replica_state import REPLICA, ReplicaState
from kvproxy.fake_replica.vllm_errors import ReplicaError, VllmError


class ReplicaAnswers(Protocol):
    """The JSON of one request's answer, in its endpoint's form."""

    def whole(self, answers: Sequence[FakeGeneration], cached: int | None) -> dict[str, Any]:
        """Return the answer of a request that does not stream."""

    def chunk(self, said: ChoiceStep, answer: FakeGeneration) -> bytes:
        """Return the chunk of one token."""

    def usage_chunk(self, cached: int | None) -> bytes:
        """Return the chunk after the last token."""


async def completions(request: web.Request) -> web.StreamResponse:
    """Answer ``POST /v1/completions``."""
    state = request.app[REPLICA]
    body = await json_object(request)
    state.check_model(body.get("model"))
    query = completion_query(body, request.headers)
    prompt = _prompt_ids(query, state)
    head = state.head(f"cmpl-{request.headers.get('X-Request-Id') or query.request_id or uuid.uuid4().hex}")
    return await generated(
        request,
        query,
        EnginePrompt(prompt, query.salt, query.session),
        CompletionAnswers(head, query, prompt, state.text),
    )


async def generated(
    request: web.Request, query: CompletionQuery, prompt: EnginePrompt, answers: ReplicaAnswers
) -> web.StreamResponse:
    """Run a request on the engine and answer it, with the faults that are set.

    Example: ``return await generated(request, query, EnginePrompt(ids), answers)``
    """
    state = request.app[REPLICA]
    checked_length(len(prompt.token_ids), state.options.context)
    planned = await _planned(state, query, prompt)
    state.seen(request.path, prompt, query)
    await _faults_before(request, state)
    with state.loaded():
        async with aclosing(choice_steps(state.engine, prompt, planned)) as steps:
            if query.stream:
                return await _streamed(request, query, answers, planned, steps)
            cached = 0
            async for said in steps:
                cached = said.cached_tokens
            return web.json_response(answers.whole(planned, state.told_cached(cached)))


async def _planned(state: ReplicaState, query: CompletionQuery, prompt: EnginePrompt) -> list[FakeGeneration]:
    left = state.options.context - len(prompt.token_ids)
    limits = replace(query.limits, max_tokens=min(query.limits.max_tokens, left))
    said: Sequence[int] | None = None
    if state.said:
        said = state.text.encode(state.said.popleft(), special=False)
    elif query.structured is not None:
        said = await asyncio.to_thread(state.text.structured, query.structured)
    return [
        answer_after(
            prompt.token_ids,
            limits,
            state.text,
            choice=choice,
            words=state.options.answer_words,
            said=said,
        )
        for choice in range(query.n)
    ]


def _prompt_ids(query: CompletionQuery, state: ReplicaState) -> tuple[int, ...]:
    if isinstance(query.prompt, tuple):
        return query.prompt
    return tuple(state.text.encode(query.prompt, special=query.add_special_tokens))


async def _faults_before(request: web.Request, state: ReplicaState) -> None:
    faults = state.faults
    if faults.stall_first_s is not None:
        await asyncio.sleep(faults.stall_first_s)
    if faults.takes_failure():
        kind = "ServiceUnavailableError" if faults.fail_status == 503 else "InternalServerError"
        raise VllmError(ReplicaError(faults.fail_status or 500, kind, "A fault that a test asked for."))
    if faults.reset_before_headers:
        reset(request)


async def _streamed(
    request: web.Request,
    query: CompletionQuery,
    answers: ReplicaAnswers,
    planned: Sequence[FakeGeneration],
    steps: AsyncIterator[ChoiceStep],
) -> web.StreamResponse:
    state = request.app[REPLICA]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    # As in vLLM, headers leave before the prefill, so that a 200 says nothing yet.
    await response.prepare(request)
    number = cached = 0
    if await _broken_after(request, response, state, 0):
        return response
    async for said in steps:
        if number == 0:
            cached = said.cached_tokens
        await response.write(answers.chunk(said, planned[said.index]))
        number += 1
        if await _broken_after(request, response, state, number):
            return response
    if query.include_usage:
        await response.write(answers.usage_chunk(state.told_cached(cached)))
    await response.write(DONE)
    await response.write_eof()
    return response


async def _broken_after(
    request: web.Request, response: web.StreamResponse, state: ReplicaState, tokens: int
) -> bool:
    """Apply the faults that are due after ``tokens``; True where the stream is over by them."""
    faults = state.faults
    if faults.stall_after_tokens == tokens:
        await asyncio.sleep(faults.stall_s)
    if faults.reset_after_tokens == tokens:
        reset(request)
    if faults.error_after_tokens == tokens:
        error = ReplicaError(500, "InternalServerError", "Internal server error")
        await response.write(sse(error.body) + DONE)
        await response.write_eof()
        return True
    return False


def reset(request: web.Request) -> None:
    """Reset the connection: what is not sent yet is lost. Raises ConnectionResetError."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("a fault that a test asked for")
