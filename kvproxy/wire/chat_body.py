"""A chat completion request as OpenAI defines it, and what engines have added to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kvproxy.wire.answer_formats.engine_fields import EngineFormatsBody
from kvproxy.wire.cache_hints import CacheBody, CacheControl
from kvproxy.wire.parts import Content
from kvproxy.wire.prediction import PredictionBody
from kvproxy.wire.response_format import ResponseFormatBody
from kvproxy.wire.sampling import MOST_TOP_LOGPROBS, SamplingBody, StreamOptions
from kvproxy.wire.strict import Strict
from kvproxy.wire.tools import FunctionBody, ToolBody, ToolChoiceField

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class CalledFunction(Strict):
    name: str = Field(min_length=1)
    arguments: str = Field(description="JSON text, as the model wrote it.")


class ToolCallBody(Strict):
    id: str = Field(min_length=1)
    type: str = Field(default="function", description="function")
    function: CalledFunction | None = None


class MessageBody(Strict):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content = Field(default_factory=list)
    name: str | None = Field(default=None, description="Not shown to the model; of the role function: which.")
    refusal: str | None = None
    tool_calls: list[ToolCallBody] | None = None
    tool_call_id: str | None = Field(default=None, description="Of a tool message: which call it answers.")
    reasoning_content: str | None = Field(default=None, description="What the assistant thought.")
    reasoning: str | None = Field(default=None, description="Another name of reasoning_content.")
    function_call: CalledFunction | None = Field(default=None, description="Deprecated: tool_calls.")
    cache_control: CacheControl | None = Field(default=None, description="Marks the last part.")


class FunctionChoice(Strict):
    mode: Literal["none", "auto"] | None = None
    name: str | None = None


def _as_function_choice(choice: object) -> object:
    return {"mode": choice} if isinstance(choice, str) else choice


class ChatBody(SamplingBody, CacheBody, EngineFormatsBody):
    model: str = Field(min_length=1)
    messages: list[MessageBody] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1, description="Deprecated: max_completion_tokens.")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(
        default=None, ge=0, le=MOST_TOP_LOGPROBS, description="Alternatives beside each token."
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[ToolBody] | None = None
    tool_choice: ToolChoiceField = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionBody] | None = Field(default=None, description="Deprecated: tools.")
    function_call: Annotated[
        FunctionChoice | None,
        BeforeValidator(
            _as_function_choice, json_schema_input_type=Literal["none", "auto"] | FunctionChoice | None
        ),
    ] = Field(default=None, description="Deprecated: tool_choice.")
    response_format: ResponseFormatBody | None = None
    reasoning_effort: ReasoningEffort | None = Field(
        default=None,
        description="none and minimal: the model does not think, if its template lets it choose.",
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None, description="Extra variables for the chat template, such as enable_thinking."
    )
    modalities: list[Literal["text"]] | None = None
    prediction: PredictionBody | None = Field(
        default=None, description="What the answer will be like: it comes sooner, and stays the same."
    )
    # Accepted for the client's sake; they change nothing here.
    metadata: dict[str, str] | None = Field(default=None, max_length=16)
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    user: str | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
