"""The operations of vLLM's tokenizer API, for the local model."""

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
        needs="read",
        tag=_TAG,
        summary="Encode a text or messages",
        description="Returns the local model's token ids of a prompt, or of messages in its chat template.",
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
        needs="read",
        tag=_TAG,
        summary="Decode tokens",
        description="Returns the text of the local model's token ids.",
        body=DetokenizeBody,
        answers=(DocumentedAnswer(Detokenized, description="The text."),),
        errors=(*BODY, ModelNotFound),
        example={"model": LOCAL_MODEL, "tokens": [72, 105]},
    ),
)
