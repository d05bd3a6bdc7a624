"""Types of chat completion answers, as OpenAI's specification has them."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # typing's own cannot be read by pydantic on Python 3.11

from kvproxy.wire.answers.cost_bodies import Priced
from kvproxy.wire.answers.logprob_bodies import TokenLogprobBody

FinishReasonBody = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class PromptTokensDetails(TypedDict):
    """The prompt tokens that came from kept pages, and those newly kept for later requests."""

    cached_tokens: int
    cache_write_tokens: int


class CompletionTokensDetails(TypedDict):
    """The completion tokens that were reasoning, and those of ``prediction`` that the answer took over or not."""

    reasoning_tokens: int
    accepted_prediction_tokens: NotRequired[int]
    rejected_prediction_tokens: NotRequired[int]


class UsageBody(Priced):
    """The token counts of a completion."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class LogprobsBody(TypedDict):
    """The log probabilities of a choice's tokens."""

    content: list[TokenLogprobBody] | None
    refusal: None


class FunctionCallBody(TypedDict):
    """A called function and its arguments, as JSON text."""

    name: str
    arguments: str


class MessageToolCall(TypedDict):
    """A call of a function."""

    id: str
    type: Literal["function"]
    function: FunctionCallBody


class CustomCallBody(TypedDict):
    """A called free-form tool and its input."""

    name: str
    input: str


class MessageCustomCall(TypedDict):
    """A call of a free-form tool."""

    id: str
    type: Literal["custom"]
    custom: CustomCallBody


class AssistantMessage(TypedDict):
    """The model's message. ``content`` is null where it has only tool calls."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[MessageToolCall | MessageCustomCall]]
    function_call: NotRequired[FunctionCallBody]


class ChatChoice(TypedDict):
    """One answer to the conversation."""

    index: int
    message: AssistantMessage
    logprobs: LogprobsBody | None
    finish_reason: FinishReasonBody


class ChatCompletion(TypedDict):
    """A chat completion."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageBody


class FunctionCallPiece(TypedDict):
    """A piece of a function's call: the name comes with the first one."""

    name: NotRequired[str]
    arguments: str


class CustomCallPiece(TypedDict):
    """A piece of a free-form tool's call: the name comes with the first one."""

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
    """The part of a message that a chunk adds."""

    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str]
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCallPiece]]
    function_call: NotRequired[FunctionCallPiece]


class ChunkChoice(TypedDict):
    """A piece of one answer. ``finish_reason`` is null before the last one."""

    index: int
    delta: ChatDelta
    logprobs: LogprobsBody | None
    finish_reason: FinishReasonBody | None


class ChatChunk(TypedDict):
    """A chunk of a streamed chat completion."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[UsageBody | None]
