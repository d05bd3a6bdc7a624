"""A chat completion request as OpenAI defines it, and the fields that engines have added to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from kvproxy.wire.answer_formats.engine_fields import EngineFormatsBody
from kvproxy.wire.answer_formats.response_format import ResponseFormatBody
from kvproxy.wire.bodies.cache_hints import CacheBody
from kvproxy.wire.bodies.declared_type import declared_type
from kvproxy.wire.bodies.placement_body import PlacementBody
from kvproxy.wire.bodies.sampling import MOST_TOP_LOGPROBS, SamplingBody, StreamOptionsField
from kvproxy.wire.bodies.strict import ListOf, Strict
from kvproxy.wire.chat.content_parts import PART_TYPES, Content
from kvproxy.wire.chat.prediction import PredictionBody
from kvproxy.wire.history.arguments import ArgumentsText, TextOrEmpty, tool_result_content
from kvproxy.wire.tools.chat_tools import ChatToolBody, FunctionBody, ToolChoiceField


class CalledFunction(Strict):
    """A called function and its arguments, as JSON text."""

    name: TextOrEmpty = ""
    arguments: ArgumentsText = ""


class CalledCustom(Strict):
    """A called free-form tool and its input."""

    name: TextOrEmpty = ""
    input: TextOrEmpty = ""


class ToolCallBody(Strict):
    """A tool call of an earlier answer."""

    id: TextOrEmpty = ""
    type: str = Field(default="function", description="function or custom")
    function: CalledFunction | None = None
    custom: CalledCustom | None = Field(default=None, description="Of a free-form tool.")


class UnreadCall(ToolCallBody):
    """A call of an unknown kind, or one that lost its function."""

    raw: dict[str, Any]


def _readable_call(call: Any) -> object:
    if not isinstance(call, dict):
        return call
    kind = declared_type(call) or ("function" if not call.get("type") else "unknown")
    if kind in ToolCallBody.model_fields and isinstance(call.get(kind), dict):
        return {**call, "type": kind}
    inner = call.get(kind) if isinstance(kind, str) else None
    raw = {**call, **(inner if isinstance(inner, dict) else {}), "type": kind}
    return UnreadCall.model_construct(id="", type=str(kind), raw=raw)


_Call = Annotated[ToolCallBody, BeforeValidator(_readable_call, json_schema_input_type=ToolCallBody)]


class ChatMessageBody(Strict):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content = Field(default_factory=list)
    name: str | None = Field(default=None, description="Not shown to the model; of the role function: which.")
    refusal: str | None = None
    tool_calls: ListOf[_Call] | None = None
    tool_call_id: str | None = Field(default=None, description="Of a tool message: which call it answers.")
    reasoning_content: str | None = Field(default=None, description="The reasoning of the assistant.")
    reasoning: str | None = Field(default=None, description="Another name of reasoning_content.")
    function_call: CalledFunction | None = Field(default=None, description="Deprecated: tool_calls.")
    cache_control: Any = Field(default=None, description="Marks the last part.")
    audio: Any = Field(
        default=None, description="Of an earlier answer; a note to the model stands in its place."
    )

    @model_validator(mode="before")
    @classmethod
    def _with_result(cls, body: Any) -> Any:
        """Read a tool's result, which may be any JSON value."""
        if (
            not isinstance(body, dict)
            or body.get("role") not in ("tool", "function")
            or "content" not in body
        ):
            return body
        return {**body, "content": tool_result_content(body["content"], PART_TYPES)}


class FunctionChoice(Strict):
    """The choice of a function as the deprecated ``function_call`` has it: a mode or a name."""

    mode: Literal["none", "auto"] | None = None
    name: str | None = None


def _as_function_choice(choice: object) -> object:
    return {"mode": choice} if isinstance(choice, str) else choice


class ChatBody(SamplingBody, CacheBody, PlacementBody, EngineFormatsBody):
    """A request for a chat completion."""

    model: str = Field(min_length=1)
    messages: ListOf[ChatMessageBody] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1, description="Deprecated: max_completion_tokens.")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(
        default=None, ge=0, le=MOST_TOP_LOGPROBS, description="Alternatives beside each token."
    )
    stream: bool | None = None
    stream_options: StreamOptionsField = None
    tools: ListOf[ChatToolBody] | None = None
    tool_choice: ToolChoiceField = None
    parallel_tool_calls: bool | None = None
    functions: ListOf[FunctionBody] | None = Field(default=None, description="Deprecated: tools.")
    function_call: Annotated[
        FunctionChoice | None,
        BeforeValidator(
            _as_function_choice, json_schema_input_type=Literal["none", "auto"] | FunctionChoice | None
        ),
    ] = Field(default=None, description="Deprecated: tool_choice.")
    response_format: ResponseFormatBody | None = None
    reasoning_effort: Any = Field(
        default=None,
        description="none and minimal: the model does not think, if its template lets it choose.",
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None, description="Extra variables for the chat template, such as enable_thinking."
    )
    prediction: PredictionBody | None = Field(
        default=None, description="The expected answer: the answer comes sooner, and stays the same."
    )
    # Accepted in any shape, since clients send them; they change nothing here.
    modalities: Any = Field(default=None, description="text")
    metadata: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: Any = None
    user: Any = None
    verbosity: Any = None
