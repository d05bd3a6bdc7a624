"""``POST /tokenize`` and ``/detokenize``: the local model's tokens."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.runtime.off_loop import LARGE, off_loop, off_loop_if_large
from kvproxy.server.components import CALLER, PARTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.read_body import read_object
from kvproxy.server.requests.request_head import resolve
from kvproxy.wire.bodies.body_bounds import refuse_endless
from kvproxy.wire.tokenize_bodies import (
    Detokenized,
    Tokens,
    parse_detokenize,
    parse_tokenize,
    tokenized_chat,
)


async def tokenize(request: web.Request) -> web.StreamResponse:
    """A document named in the messages is only there for those who may read it."""
    parts = request.app[PARTS]
    body = await read_object(request)
    refuse_endless(body, parts.pipeline.max_context)
    size = request.content_length or LARGE
    asked = await off_loop_if_large(size, lambda: parse_tokenize(body))
    _local(request, asked.model)
    prompt = asked.prompt
    if prompt is not None:
        begin = asked.add_special_tokens is not False
        ids = await off_loop(
            len(prompt), lambda: parts.pipeline.encode_prompt(prompt, add_special_tokens=begin)
        )
    else:
        chat = await off_loop_if_large(
            size, lambda: tokenized_chat(body, served_name=parts.served_name, policy=parts.policy)
        )
        ids = list((await parts.pipeline.compose_async(chat, request[CALLER])).token_ids)
    texts = asked.return_token_strs
    return await off_loop_if_large(
        len(ids) * _TOKEN_BYTES,
        lambda: json_response(
            Tokens(
                count=len(ids),
                max_model_len=parts.pipeline.max_context,
                tokens=ids,
                token_strs=parts.pipeline.token_texts(ids) if texts else None,
            )
        ),
    )


async def detokenize(request: web.Request) -> web.StreamResponse:
    """Raises InvalidRequest for more tokens than the model takes."""
    parts = request.app[PARTS]
    body = await read_object(request)
    tokens, most = body.get("tokens"), parts.pipeline.max_context
    if isinstance(tokens, list) and len(tokens) > most:
        raise InvalidRequest(f"Invalid 'tokens': at most {most} of them.", param="tokens")
    asked = await off_loop_if_large(request.content_length or LARGE, lambda: parse_detokenize(body))
    _local(request, asked.model)
    text = await off_loop_if_large(
        len(asked.tokens) * _TOKEN_BYTES, lambda: parts.pipeline.decode(asked.tokens)
    )
    answer: Detokenized = {"prompt": text}
    return json_response(answer)


_TOKEN_BYTES = 8
"""Of a token in JSON, or of its text."""


def _local(request: web.Request, model: str | None) -> None:
    """Raises InvalidRequest for an upstream's model, whose tokens are unknown here, ModelNotFound."""
    served = request.app[PARTS].served_name
    if model is not None and resolve(request, model) != served:
        raise InvalidRequest(
            f"'{model}' is served by an upstream; only the local model '{served}' is tokenized here.",
            param="model",
        )
