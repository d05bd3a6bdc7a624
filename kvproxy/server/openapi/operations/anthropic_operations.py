"""The operations of Anthropic's Messages API."""

from __future__ import annotations

from kvproxy.server.openapi.operation import LOCAL_MODEL, DocumentedAnswer, Operation
from kvproxy.server.openapi.operations.common_headers import CACHED, SESSION, TIMED
from kvproxy.server.openapi.operations.error_groups import GENERATION, PROMPT
from kvproxy.server.routes import messages_route
from kvproxy.wire.anthropic.message_body import CountTokensBody, MessagesBody
from kvproxy.wire.anthropic.types import ErrorBody, MessageObject, MessageStreamEvent, TokenCount

_TAG = "Anthropic"

ANTHROPIC = (
    Operation(
        id="createMessage",
        method="POST",
        path="/v1/messages",
        handler=messages_route.create,
        needs="read",
        tag=_TAG,
        summary="Answer a conversation",
        description=(
            "`cache_control` marks the end of a reusable prefix. `cache_read_input_tokens` counts the prompt tokens "
            "from kept pages, and `input_tokens` leaves them out. With `stream` the answer is Anthropic's sequence "
            "of named events."
        ),
        body=MessagesBody,
        parameters=SESSION,
        answers=(
            DocumentedAnswer(MessageObject, description="The message.", headers=CACHED, sometimes=TIMED),
        ),
        events=MessageStreamEvent | ErrorBody,
        errors=GENERATION,
        example={
            "model": LOCAL_MODEL,
            "max_tokens": 64,
            "system": "Answer briefly.",
            "messages": [{"role": "user", "content": "How many days of leave do I have?"}],
        },
        forwards=True,
    ),
    Operation(
        id="countMessageTokens",
        method="POST",
        path="/v1/messages/count_tokens",
        handler=messages_route.count_tokens,
        needs="read",
        tag=_TAG,
        summary="Count the input's tokens",
        description=(
            "Returns the number of input tokens of a message with the same body, of all three kinds together. For "
            "the local model only."
        ),
        body=CountTokensBody,
        answers=(DocumentedAnswer(TokenCount, description="The count."),),
        errors=PROMPT,
        example={
            "model": LOCAL_MODEL,
            "messages": [{"role": "user", "content": "How many days of leave do I have?"}],
        },
    ),
)
