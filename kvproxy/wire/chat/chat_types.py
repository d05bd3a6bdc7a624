"""Types of chat completion answers, as OpenAI's specification has them."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # typing's own cannot be read by pydantic on Python 3.11

from kvproxy.wire.answers.logprob_bodies import TokenLogprobBody

FinishReasonBody = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class PromptTokensDetails(TypedDict):
    cached_tokens: int
    cache_write_tokens: int


class CompletionTokensDetails(TypedDict):
    reasoning_tokens: int
    accepted_prediction_tokens: NotRequired[int]
    rejected_prediction_tokens: NotRequired[int]


class UsageBody(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class LogprobsBody(TypedDict):
    content: list[TokenLogprobBody] | None
    refusal: None


class FunctionCallBody(TypedDict):
    name: str
    arguments: str


class MessageToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: FunctionCallBody


class CustomCallBody(TypedDict):
    name: str
    input: str


class MessageCustomCall(TypedDict):
    id: str
    type: Literal["custom"]
    custom: CustomCallBody


class AssistantMessage(TypedDict):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[MessageToolCall | MessageCustomCall]]
    function_call: NotRequired[FunctionCallBody]


class ChatChoice(TypedDict):
    index: int
    message: AssistantMessage
    logprobs: LogprobsBody | None
    finish_reason: FinishReasonBody


class ChatCompletion(TypedDict):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageBody


class FunctionCallPiece(TypedDict):
    name: NotRequired[str]
    arguments: str


class CustomCallPiece(TypedDict):
    name: NotRequired[str]
    input: str


class ToolCallPiece(TypedDict):
    """A piece of a call: of a function, or of a free-form tool. One of the two is there."""

    index: int
    id: NotRequired[str]
    type: NotRequired[Literal["function", "custom"]]
    function: NotRequired[FunctionCallPiece]
    custom: NotRequired[CustomCallPiece]


class ChatDelta(TypedDict):
    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str]
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCallPiece]]
    function_call: NotRequired[FunctionCallPiece]


class ChunkChoice(TypedDict):
    index: int
    delta: ChatDelta
    logprobs: LogprobsBody | None
    finish_reason: FinishReasonBody | None


class ChatChunk(TypedDict):
    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[UsageBody | None]
