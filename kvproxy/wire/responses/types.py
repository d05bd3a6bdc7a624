"""Types of the answers of the Responses endpoints, as they stand on the wire."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

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
    mode: Literal["explicit"]


class InputTextPart(TypedDict):
    type: Literal["input_text"]
    text: str
    prompt_cache_breakpoint: NotRequired[Breakpoint]


class KvDocumentPart(TypedDict):
    type: Literal["kv_document"]
    document: str
    prompt_cache_breakpoint: NotRequired[Breakpoint]


class OutputTextPart(TypedDict):
    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[TokenLogprobBody]


class RefusalPart(TypedDict):
    type: Literal["refusal"]
    refusal: str


class ReasoningTextPart(TypedDict):
    type: Literal["reasoning_text"]
    text: str


class SummaryTextPart(TypedDict):
    type: Literal["summary_text"]
    text: str


InputPart = InputTextPart | KvDocumentPart
OutputPart = OutputTextPart | RefusalPart


class InputMessage(TypedDict):
    type: Literal["message"]
    id: str
    status: ItemStatus
    role: Literal["user", "system", "developer"]
    content: list[InputPart]


class OutputMessage(TypedDict):
    type: Literal["message"]
    id: str
    status: ItemStatus
    role: Literal["assistant"]
    content: list[OutputPart]


class ReasoningItem(TypedDict):
    type: Literal["reasoning"]
    id: str
    summary: list[SummaryTextPart]
    content: list[ReasoningTextPart]
    status: ItemStatus


class FunctionCall(TypedDict):
    type: Literal["function_call"]
    id: str
    call_id: str
    name: str
    namespace: NotRequired[str]
    arguments: str
    status: ItemStatus


class FunctionCallOutput(TypedDict):
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
    cached_tokens: int
    cache_write_tokens: int


class ResponseOutputTokensDetails(TypedDict):
    reasoning_tokens: int


class ResponseUsage(TypedDict):
    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: ResponseOutputTokensDetails
    total_tokens: int


class ResponseError(TypedDict):
    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class IncompleteDetails(TypedDict):
    reason: Literal["max_output_tokens", "content_filter"]


class ReasoningEcho(TypedDict):
    effort: str | None
    summary: str | None


class TextEcho(TypedDict):
    format: dict[str, Any]
    verbosity: NotRequired[str]


class CacheOptionsEcho(TypedDict):
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
    id: str
    object: Literal["response"]
    deleted: Literal[True]


class ItemList(TypedDict):
    object: Literal["list"]
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(TypedDict):
    object: Literal["response.input_tokens"]
    input_tokens: int


class ResponseEvent(TypedDict):
    """``response.created``, ``.in_progress``, ``.completed``, ``.incomplete`` and ``.failed``."""

    type: str
    sequence_number: int
    response: Response


class ItemEvent(TypedDict):
    """``response.output_item.added`` and ``.done``."""

    type: str
    sequence_number: int
    output_index: int
    item: OutputItem


class PieceEvent(TypedDict):
    """A part of an item begins, grows or ends; the optional keys depend on ``type``."""

    type: str
    sequence_number: int
    item_id: str
    output_index: int
    content_index: NotRequired[int]
    part: NotRequired[OutputTextPart | ReasoningTextPart]
    delta: NotRequired[str]
    text: NotRequired[str]
    name: NotRequired[str]
    arguments: NotRequired[str]
    input: NotRequired[str]
    logprobs: NotRequired[list[TokenLogprobBody]]


class ErrorEvent(TypedDict):
    """The stream failed before there was a response."""

    type: Literal["error"]
    sequence_number: int
    code: str | None
    message: str
    param: str | None
