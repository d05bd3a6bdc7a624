"""Types of the answers of the Responses endpoints, as they stand on the wire."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.answers.cost_bodies import Priced
from kvproxy.wire.answers.logprob_bodies import TokenLogprobBody
from kvproxy.wire.responses.call_types import (
    ApplyPatchCall,
    BuiltinOutput,
    CustomToolCall,
    FoundTools,
    LocalShellCall,
    ShellCall,
    ToolSearchCall,
)

ItemStatus = Literal["in_progress", "completed", "incomplete"]
ResponseStatus = Literal["completed", "failed", "in_progress", "incomplete"]


class Breakpoint(TypedDict):
    """The end of a reusable prefix."""

    mode: Literal["explicit"]


class InputTextPart(TypedDict):
    """A text part of the input."""

    type: Literal["input_text"]
    text: str
    prompt_cache_breakpoint: NotRequired[Breakpoint]


class KvDocumentPart(TypedDict):
    """A reference to a published document, ``handbook`` or ``handbook@3``, in the place of its text."""

    type: Literal["kv_document"]
    document: str
    prompt_cache_breakpoint: NotRequired[Breakpoint]


class OutputTextPart(TypedDict):
    """A text part of an answer."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[TokenLogprobBody]


class RefusalPart(TypedDict):
    """The model's refusal to answer."""

    type: Literal["refusal"]
    refusal: str


class ReasoningTextPart(TypedDict):
    """A text part of the reasoning."""

    type: Literal["reasoning_text"]
    text: str


class SummaryTextPart(TypedDict):
    """A text part of a summary of the reasoning."""

    type: Literal["summary_text"]
    text: str


InputPart = InputTextPart | KvDocumentPart
OutputPart = OutputTextPart | RefusalPart


class InputMessage(TypedDict):
    """A message of the input."""

    type: Literal["message"]
    id: str
    status: ItemStatus
    role: Literal["user", "system", "developer"]
    content: list[InputPart]


class OutputMessage(TypedDict):
    """The model's message."""

    type: Literal["message"]
    id: str
    status: ItemStatus
    role: Literal["assistant"]
    content: list[OutputPart]


class ReasoningItem(TypedDict):
    """The reasoning before an answer."""

    type: Literal["reasoning"]
    id: str
    summary: list[SummaryTextPart]
    content: list[ReasoningTextPart]
    status: ItemStatus


class FunctionCall(TypedDict):
    """A call of a function."""

    type: Literal["function_call"]
    id: str
    call_id: str
    name: str
    namespace: NotRequired[str]
    arguments: str
    status: ItemStatus


class FunctionCallOutput(TypedDict):
    """A client's result of a call of a function or a free-form tool."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    id: str
    call_id: str
    output: list[InputPart]
    status: ItemStatus


OutputItem = (
    OutputMessage
    | ReasoningItem
    | FunctionCall
    | CustomToolCall
    | LocalShellCall
    | ShellCall
    | ApplyPatchCall
    | ToolSearchCall
)
Item = InputMessage | OutputItem | FunctionCallOutput | BuiltinOutput | FoundTools
"""Everything that a conversation is made of, each with an id: the items that are stored and listed."""


class InputTokensDetails(TypedDict):
    """The input tokens that came from kept pages, and those newly kept for later requests."""

    cached_tokens: int
    cache_write_tokens: int


class ResponseOutputTokensDetails(TypedDict):
    """The part of the output tokens that was reasoning."""

    reasoning_tokens: int


class ResponseUsage(Priced):
    """The token counts of a response."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: ResponseOutputTokensDetails
    total_tokens: int


class ResponseError(TypedDict):
    """The error that ended a response."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class IncompleteDetails(TypedDict):
    """The reason why a response is incomplete."""

    reason: Literal["max_output_tokens", "content_filter"]


class ReasoningEcho(TypedDict):
    """The request's settings of the reasoning."""

    effort: str | None
    summary: str | None


class TextEcho(TypedDict):
    """The request's format and verbosity of the text."""

    format: dict[str, Any]
    verbosity: NotRequired[str]


class CacheOptionsEcho(TypedDict):
    """The request's options of the prompt cache."""

    mode: Literal["implicit", "explicit"]
    ttl: str


class Response(TypedDict):
    """A response. ``usage`` is absent until it has ended, the optional strings where the request had none."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: ResponseStatus
    background: bool
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    prompt_cache_options: NotRequired[CacheOptionsEcho]
    prompt_cache_retention: Literal["in_memory", "24h"] | None
    reasoning: ReasoningEcho
    safety_identifier: str | None
    store: bool
    temperature: float
    text: TextEcho
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    truncation: Literal["auto", "disabled"]
    usage: NotRequired[ResponseUsage]
    user: NotRequired[str]


class ResponseDeleted(TypedDict):
    """The confirmation that a response is deleted."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]


class ItemList(TypedDict):
    """A page of a response's input items."""

    object: Literal["list"]
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(TypedDict):
    """The number of input tokens of a request."""

    object: Literal["response.input_tokens"]
    input_tokens: int
