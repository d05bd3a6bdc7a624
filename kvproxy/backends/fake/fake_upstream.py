"""Answers of an upstream without a model, in each endpoint's own format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

from kvproxy.backends.base import Endpoint
from kvproxy.core import ChatRequest
from kvproxy.events import Event, Finished, Started, TextDelta, Usage
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.anthropic.message_answer import MessageHead, message
from kvproxy.wire.anthropic.message_stream import MessageStream
from kvproxy.wire.chat.chat_response import ChatHead, ChatStream, completion
from kvproxy.wire.completions.completion_response import CompletionHead, CompletionStream, text_completion
from kvproxy.wire.responses.parse_response import open_response
from kvproxy.wire.responses.response_answer import complete_response
from kvproxy.wire.responses.response_body import ResponsesBody
from kvproxy.wire.responses.response_ids import ResponseIds
from kvproxy.wire.responses.response_stream import ResponseStream
from kvproxy.wire.responses.types import Response
from kvproxy.wire.service.embeddings_body import Embeddings

_USAGE = Usage(9, 2, 0)
_IDS = ResponseIds("0" * 32)
_CREATED = 1


class _Encoder(Protocol):
    def begin(self, started: Started, *, prompt_tokens: int, choices: int) -> bytes: ...
    def event(self, index: int, event: Event) -> bytes: ...
    def end(self, usage: Usage) -> bytes: ...


def upstream_answer(endpoint: Endpoint, model: str, text: str) -> dict[str, Any]:
    """Return a whole answer with ``text``, in the endpoint's own format.

    Example: ``upstream_answer("chat/completions", "up-1", "Hello")``
    """
    answer = Answer(text, "", (), (), "stop")
    match endpoint:
        case "chat/completions":
            return {**completion(_chat_head(model), [answer], _USAGE)}
        case "completions":
            return {**text_completion(_completion_head(model), [answer], _USAGE, logprobs=False)}
        case "responses":
            return {**complete_response(_opened(model), _IDS, answer, _USAGE, at=_CREATED)}
        case "messages":
            return {**message(MessageHead("msg_up", model), answer, _USAGE)}
        case "embeddings":
            embeddings: Embeddings = {
                "object": "list",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.0, 1.0]}],
                "model": model,
                "usage": {"prompt_tokens": 9, "total_tokens": 9},
            }
            return {**embeddings}


def upstream_chunks(endpoint: Endpoint, model: str, text: str) -> Iterator[dict[str, Any]]:
    """Yield a streamed answer with ``text``, in the endpoint's own format.

    Example: ``list(upstream_chunks("chat/completions", "up-1", "Hello"))``
    """
    match endpoint:
        case "chat/completions":
            yield from _chunks(ChatStream(_chat_head(model), include_usage=True), text)
        case "completions":
            yield from _chunks(
                CompletionStream(_completion_head(model), n=1, include_usage=True, logprobs=False), text
            )
        case "responses":
            yield from _chunks(ResponseStream(_opened(model), _IDS, lambda: _CREATED), text)
        case "messages":
            yield from _chunks(MessageStream(MessageHead("msg_up", model), request_id="req_up"), text)
        case "embeddings":
            raise ValueError("embeddings are never streamed")


def _chunks(encoder: _Encoder, text: str) -> Iterator[dict[str, Any]]:
    """Decode the bytes of the encoder: an upstream's chunks come decoded."""
    started = Started(0, False, 0.0, 0.0, 0.0)
    written = [
        encoder.begin(started, prompt_tokens=_USAGE.prompt_tokens, choices=1),
        encoder.event(0, TextDelta(text)),
        encoder.event(0, Finished("stop", _USAGE)),
        encoder.end(_USAGE),
    ]
    for line in b"".join(written).splitlines():
        if line.startswith(b"data: {"):
            yield json.loads(line.removeprefix(b"data: "))


def _chat_head(model: str) -> ChatHead:
    return ChatHead("up-1", _CREATED, model)


def _completion_head(model: str) -> CompletionHead:
    return CompletionHead("up-1", _CREATED, model)


def _opened(model: str) -> Response:
    return open_response(ResponsesBody(model=model), ChatRequest(model, ()), _IDS, created=_CREATED)
