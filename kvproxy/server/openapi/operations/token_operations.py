"""The local model's tokens, as vLLM's server shows them."""

from __future__ import annotations

from kvproxy.errors import ModelNotFound
from kvproxy.server.openapi.operation import LOCAL_MODEL, DocumentedAnswer, Operation
from kvproxy.server.openapi.operations.error_groups import BODY, PROMPT
from kvproxy.server.routes import tokenize_route
from kvproxy.wire.tokenize_bodies import DetokenizeBody, Detokenized, TokenizeBody, Tokens

_TAG = "Tokens"

TOKENS = (
    Operation(
        id="tokenize",
        method="POST",
        path="/tokenize",
        handler=tokenize_route.tokenize,
        tag=_TAG,
        summary="Text or messages to tokens",
        body=TokenizeBody,
        answers=(DocumentedAnswer(Tokens, description="The token ids."),),
        errors=PROMPT,
        example={"model": LOCAL_MODEL, "prompt": "How many days of leave do I have?"},
    ),
    Operation(
        id="detokenize",
        method="POST",
        path="/detokenize",
        handler=tokenize_route.detokenize,
        tag=_TAG,
        summary="Tokens to text",
        body=DetokenizeBody,
        answers=(DocumentedAnswer(Detokenized, description="The text."),),
        errors=(*BODY, ModelNotFound),
        example={"model": LOCAL_MODEL, "tokens": [72, 105]},
    ),
)
