"""Types of the answers of ``/v1/messages``: every key of Anthropic's specification, null where it is empty.

Keys that a client's schema takes as absent but not as null are left out.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.answers.cost_bodies import Priced

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


class CacheCreation(TypedDict):
    """The tokens newly kept for later requests. All count as kept for five minutes, Anthropic's default."""

    ephemeral_5m_input_tokens: int
    ephemeral_1h_input_tokens: int


class AnthropicOutputTokensDetails(TypedDict):
    """The part of the output tokens that was reasoning."""

    thinking_tokens: int


class MessageUsage(Priced):
    """Token counts of a message.

    ``input_tokens`` are those neither read from kept pages nor newly kept: the three add up to the prompt.
    """

    input_tokens: int
    cache_creation_input_tokens: int | None
    cache_read_input_tokens: int | None
    """None for an upstream's answer that has only begun."""
    cache_creation: CacheCreation | None
    output_tokens: int
    output_tokens_details: AnthropicOutputTokensDetails
    server_tool_use: None
    service_tier: Literal["standard"]
    inference_geo: None


class MessageDeltaUsage(Priced):
    """Cumulative token counts: they replace those of ``message_start``."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: AnthropicOutputTokensDetails
    server_tool_use: None


class TextBlock(TypedDict):
    """A text block, without ``citations``, as Anthropic's service writes it.

    The specification requires the key, null included, but ``@ai-sdk/anthropic`` before version 4 refuses null.
    """

    type: Literal["text"]
    text: str


class ThinkingBlock(TypedDict):
    """A thinking block. ``signature`` is empty: nothing is signed, and nothing is checked when it comes back."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class DirectCaller(TypedDict):
    """The caller of a tool: the model itself, rather than code that it runs."""

    type: Literal["direct"]


class ToolUseBlock(TypedDict):
    """A tool call. ``input`` holds its arguments."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]
    caller: DirectCaller


ContentBlock = TextBlock | ThinkingBlock | ToolUseBlock


class MessageObject(TypedDict):
    """An answer of ``/v1/messages``."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[ContentBlock]
    stop_reason: StopReason | None
    """None only in ``message_start``."""
    stop_sequence: str | None
    stop_details: None
    container: None
    usage: MessageUsage


class TokenCount(TypedDict):
    """The number of input tokens of a prompt."""

    input_tokens: int


class MessageDelta(TypedDict):
    """The end of a streamed message: its stop reason, and the stop sequence that ended it."""

    stop_reason: StopReason
    stop_sequence: str | None
    stop_details: None
    container: None


class TextDeltaBody(TypedDict):
    """A piece of a text block."""

    type: Literal["text_delta"]
    text: str


class ThinkingDeltaBody(TypedDict):
    """A piece of a thinking block."""

    type: Literal["thinking_delta"]
    thinking: str


class SignatureDeltaBody(TypedDict):
    """The signature of a thinking block."""

    type: Literal["signature_delta"]
    signature: str


class InputJsonDeltaBody(TypedDict):
    """A piece of a tool call's arguments: JSON that is whole once the block has ended."""

    type: Literal["input_json_delta"]
    partial_json: str


BlockDelta = TextDeltaBody | ThinkingDeltaBody | SignatureDeltaBody | InputJsonDeltaBody


class MessageStartEvent(TypedDict):
    """The first event of a stream: the message without content."""

    type: Literal["message_start"]
    message: MessageObject


class ContentBlockStartEvent(TypedDict):
    """The beginning of a content block, still empty."""

    type: Literal["content_block_start"]
    index: int
    content_block: ContentBlock


class ContentBlockDeltaEvent(TypedDict):
    """A piece of the content block at ``index``."""

    type: Literal["content_block_delta"]
    index: int
    delta: BlockDelta


class ContentBlockStopEvent(TypedDict):
    """The end of the content block at ``index``."""

    type: Literal["content_block_stop"]
    index: int


class MessageDeltaEvent(TypedDict):
    """The stop reason and the final token counts, after the last content block."""

    type: Literal["message_delta"]
    delta: MessageDelta
    usage: MessageDeltaUsage


class MessageStopEvent(TypedDict):
    """The last event of a stream."""

    type: Literal["message_stop"]


class PingEvent(TypedDict):
    """A keepalive event without content."""

    type: Literal["ping"]


MessageStreamEvent = (
    MessageStartEvent
    | ContentBlockStartEvent
    | ContentBlockDeltaEvent
    | ContentBlockStopEvent
    | MessageDeltaEvent
    | MessageStopEvent
    | PingEvent
)

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
]


class ErrorDetails(TypedDict):
    """The error as one word for programs."""

    error_code: str


class ErrorDetail(TypedDict):
    """The error: Anthropic's type, and a message for people."""

    type: ErrorType
    message: str
    details: NotRequired[ErrorDetails]
    """The error as one word: the ``code`` of OpenAI's error body."""


class ErrorBody(TypedDict):
    """An error in Anthropic's format."""

    type: Literal["error"]
    error: ErrorDetail
    request_id: str
    quote: NotRequired[dict[str, Any]]
    """Of an error 402: what the request may cost, and how it can be paid."""
