"""Anthropic's Messages API."""

from __future__ import annotations

from kvproxy.server import messages
from kvproxy.server.operation import LOCAL_MODEL, Answer, Operation
from kvproxy.server.operations.faults import GENERATION, PROMPT
from kvproxy.server.operations.headers import CACHED, TIMED
from kvproxy.wire.anthropic.body import CountTokensBody, MessagesBody
from kvproxy.wire.anthropic.types import ErrorBody, MessageObject, MessageStreamEvent, TokenCount

_TAG = "Anthropic"

ANTHROPIC = (
    Operation(
        id="createMessage",
        method="POST",
        path="/v1/messages",
        handler=messages.create,
        tag=_TAG,
        summary="Answer a conversation",
        description=(
            "`cache_control` marks where a reusable prefix ends; `cache_read_input_tokens` counts what came from "
            "kept pages, and `input_tokens` leaves it out. With `stream` the answer is Anthropic's sequence of "
            "named events."
        ),
        body=MessagesBody,
        answers=(Answer(MessageObject, description="The message.", headers=CACHED, sometimes=TIMED),),
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
        handler=messages.count_tokens,
        tag=_TAG,
        summary="Count the input's tokens",
        description="What a message to the same body would count as input, of all three kinds. The local model only.",
        body=CountTokensBody,
        answers=(Answer(TokenCount, description="The count."),),
        errors=PROMPT,
        example={
            "model": LOCAL_MODEL,
            "messages": [{"role": "user", "content": "How many days of leave do I have?"}],
        },
    ),
)
