"""``POST /tokenize`` and ``/detokenize``: the local model's tokens."""

from __future__ import annotations

import asyncio

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.server.body import read_object
from kvproxy.server.errors import json_response
from kvproxy.server.incoming import resolve
from kvproxy.server.parts import CALLER, PARTS
from kvproxy.wire.tokenize import Detokenized, Tokens, parse_detokenize, parse_tokenize, tokenized_chat


async def tokenize(request: web.Request) -> web.StreamResponse:
    """A document named in the messages is only there for those who may read it."""
    parts = request.app[PARTS]
    body = await read_object(request)
    asked = parse_tokenize(body)
    _local(request, asked.model)
    if asked.prompt is not None:
        ids = await asyncio.to_thread(
            parts.pipeline.encode_prompt,
            asked.prompt,
            add_special_tokens=asked.add_special_tokens is not False,
        )
    else:
        chat = tokenized_chat(body, served_name=parts.served_name, policy=parts.policy)
        ids = list((await parts.pipeline.composed(chat, request[CALLER])).token_ids)
    answer: Tokens = {
        "count": len(ids),
        "max_model_len": parts.pipeline.max_context,
        "tokens": ids,
        "token_strs": parts.pipeline.token_texts(ids) if asked.return_token_strs else None,
    }
    return json_response(answer)


async def detokenize(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    asked = parse_detokenize(await read_object(request))
    _local(request, asked.model)
    answer: Detokenized = {"prompt": parts.pipeline.decode(asked.tokens)}
    return json_response(answer)


def _local(request: web.Request, model: str | None) -> None:
    """Raises InvalidRequest for an upstream's model, whose tokens are unknown here, ModelNotFound."""
    served = request.app[PARTS].served_name
    if model is not None and resolve(request, model) != served:
        raise InvalidRequest(
            f"'{model}' is served by an upstream; only the local model '{served}' is tokenized here.",
            param="model",
        )
