"""Handlers of ``POST /tokenize`` and ``/detokenize``, for the tokens of the models that are served here."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import InvalidRequest, PermissionDenied
from kvproxy.runtime.off_loop import LARGE, off_loop, off_loop_if_large
from kvproxy.served_model import ServedModel
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.model_names import resolve_model
from kvproxy.server.requests.read_request import read_object
from kvproxy.wire.bodies.body_bounds import refuse_oversized_lists
from kvproxy.wire.tokenize_bodies import (
    Detokenized,
    Tokens,
    parse_detokenize,
    parse_tokenize,
    tokenized_chat,
)


async def tokenize(request: web.Request) -> web.StreamResponse:
    """Encode a prompt, or messages by the chat template. Raises DocumentNotFound for a document that the caller may not
    read, and PermissionDenied for one that it may read by a grant."""
    components = request.app[COMPONENTS]
    body = await read_object(request)
    model = _served(request, body.get("model"))
    refuse_oversized_lists(body, model.max_context)
    size = request.content_length or LARGE
    asked = await off_loop_if_large(size, lambda: parse_tokenize(body))
    prompt = asked.prompt
    if prompt is not None:
        begin = asked.add_special_tokens is not False
        ids = await off_loop(
            len(prompt), lambda: model.composer.encode_prompt(prompt, add_special_tokens=begin)
        )
    else:
        chat = await off_loop_if_large(
            size, lambda: tokenized_chat(body, served_name=model.name, policy=components.policy)
        )
        composed = await model.compose(chat, request[CALLER])
        if composed.confined:
            raise PermissionDenied(
                "The tokens of a granted document are its text, which only its publisher can fetch. "
                "POST /v1/responses/input_tokens counts them."
            )
        ids = list(composed.token_ids)
    texts = asked.return_token_strs
    return await off_loop_if_large(
        len(ids) * _TOKEN_BYTES,
        lambda: json_response(
            Tokens(
                count=len(ids),
                max_model_len=model.max_context,
                tokens=ids,
                token_strs=model.composer.token_texts(ids) if texts else None,
            )
        ),
    )


async def detokenize(request: web.Request) -> web.StreamResponse:
    """Decode token ids. Raises InvalidRequest for more tokens than the model takes."""
    body = await read_object(request)
    model = _served(request, body.get("model"))
    tokens, most = body.get("tokens"), model.max_context
    if isinstance(tokens, list) and len(tokens) > most:
        raise InvalidRequest(f"Invalid 'tokens': must have at most {most} items.", param="tokens")
    asked = await off_loop_if_large(request.content_length or LARGE, lambda: parse_detokenize(body))
    text = await off_loop_if_large(
        len(asked.tokens) * _TOKEN_BYTES, lambda: model.composer.decode(asked.tokens)
    )
    answer: Detokenized = {"prompt": text}
    return json_response(answer)


_TOKEN_BYTES = 8
"""Bytes of a token in JSON, or of its text."""


def _served(request: web.Request, asked: object) -> ServedModel:
    """Return the model that ``asked`` names, the primary where it names none; what is no name is refused by whoever
    parses the body. Raises InvalidRequest for an upstream's model, whose tokens are unknown, and ModelNotFound."""
    models = request.app[COMPONENTS].pipeline.models
    name = resolve_model(request, asked) if isinstance(asked, str) else models.primary.name
    if name not in models:
        raise InvalidRequest(
            f"'{asked}' is served by an upstream; tokenized here are only: {', '.join(models.names)}.",
            param="model",
        )
    return models.named(name)
