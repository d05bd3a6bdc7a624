"""The body of ``POST /v1/responses``. Items are one flat model: which fields one needs depends on its type."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.answer_formats.engine_fields import EngineFormatsBody
from kvproxy.wire.cache_hints import CacheBody, Markable
from kvproxy.wire.faults import invalid
from kvproxy.wire.response_format import ResponseFormatBody
from kvproxy.wire.responses.tools import ToolBody, ToolChoiceField
from kvproxy.wire.sampling import SamplingBody
from kvproxy.wire.strict import Strict

PartType = Literal[
    "input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text", "kv_document",
    "input_image", "input_file", "input_audio",
]  # fmt: skip
ItemType = Literal["message", "function_call", "function_call_output", "reasoning", "item_reference"]
ItemRole = Literal["user", "assistant", "system", "developer"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


def parse_body(body: dict[str, Any]) -> ResponsesBody:
    """Raises InvalidRequest, UnsupportedParameter naming the field. Unknown fields are ignored."""
    try:
        asked = ResponsesBody.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e
    for name, reason in _UNSUPPORTED.items():
        if getattr(asked, name):
            raise UnsupportedParameter(f"Unsupported parameter: '{name}'. {reason}", param=name)
    if (asked.n or 1) > 1:
        raise UnsupportedParameter("Unsupported parameter: 'n'. A response is one answer.", param="n")
    if asked.input is None:
        raise InvalidRequest("Missing required parameter: 'input'.", param="input")
    return asked


_UNSUPPORTED = {
    "background": "The local model answers while the client waits.",
    "conversation": "Use 'previous_response_id' instead.",
    "prompt": "Stored prompts are not kept here; send 'instructions' and 'input'.",
    "moderation": "The local model is not moderated.",
}


class ContentPart(Markable):
    """A piece of a message, of a call's output or of reasoning."""

    type: PartType = Field(description="Images, files and audio are refused: the local model reads text.")
    text: str | None = None
    refusal: str | None = None
    document: str | None = Field(
        default=None, description="For kv_document: a published document, like 'handbook' or 'handbook@3'."
    )


def _typed(item: object) -> object:
    """``type`` may be left out for messages, and for references, which are an id and nothing else."""
    if isinstance(item, dict) and item.get("type") is None:
        return {**item, "type": "item_reference" if item.keys() <= {"id", "type"} else "message"}
    return item


def _as_parts(content: object) -> object:
    """A string is one text part: after this there is one shape, so faults have one path."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


_Parts = Annotated[
    list[ContentPart] | None,
    BeforeValidator(_as_parts, json_schema_input_type=str | list[ContentPart] | None),
]


class InputItem(Strict):
    type: ItemType = Field(
        default="message", description="May be left out for messages, and for references by id alone."
    )
    id: str | None = Field(default=None, max_length=256)
    role: ItemRole | None = None
    content: _Parts = Field(default=None, description="Text, or parts; of reasoning: its own text.")
    call_id: str | None = Field(default=None, min_length=1, max_length=256)
    name: str | None = None
    arguments: str | None = Field(default=None, description="JSON text, kept verbatim.")
    output: _Parts = Field(default=None, description="What the called function returned.")
    summary: list[ContentPart] | None = None
    encrypted_content: str | None = Field(default=None, description="Not read: reasoning is sent in clear.")


def _as_items(value: object) -> object:
    """A string is one user message."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return [_typed(item) for item in value] if isinstance(value, list) else value


_Items = Annotated[
    list[InputItem] | None, BeforeValidator(_as_items, json_schema_input_type=str | list[InputItem])
]


class FormatBody(Strict):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = Field(
        default=None,
        description="The schema is enforced to the letter; else as far as it can be, and the answer names the rest.",
    )


class TextBody(Strict):
    format: FormatBody | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningBody(Strict):
    effort: Effort | None = Field(default=None, description="none and minimal turn thinking off.")
    summary: Literal["auto", "concise", "detailed"] | None = Field(
        default=None, description="Accepted; the reasoning itself is given instead."
    )


_Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


def _input_required(schema: dict[str, Any]) -> None:
    schema["required"].append("input")
    del schema["properties"]["input"]["default"]


class ResponsesBody(SamplingBody, CacheBody, EngineFormatsBody):
    """A request for a response by the local model."""

    # Checked by hand, behind what is not supported: a stored prompt would stand in its place.
    model_config = ConfigDict(json_schema_extra=_input_required)

    model: str = Field(min_length=1)
    input: _Items = Field(default=None, description="Text, or the items of the conversation.")
    instructions: str | None = Field(
        default=None, description="A system message before all others; not carried over to later responses."
    )
    previous_response_id: str | None = Field(
        default=None,
        max_length=256,
        description="Continue this stored response: its input and output come first.",
    )
    store: bool | None = Field(
        default=None, description="Keep the response for later requests. Default: true."
    )
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    tools: list[ToolBody] | None = None
    tool_choice: ToolChoiceField = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = Field(
        default=None, ge=1, description="Of built-in tools; there are none here."
    )
    text: TextBody | None = None
    response_format: ResponseFormatBody | None = Field(
        default=None, description="Chat's name of text.format."
    )
    reasoning: ReasoningBody | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    include: list[str] | None = Field(
        default=None,
        description="message.output_text.logprobs; others are ignored.",
    )
    truncation: Literal["auto", "disabled"] | None = Field(
        default=None, description="auto is accepted, but an input that is too long is refused all the same."
    )
    metadata: _Metadata | None = None
    user: str | None = None
    safety_identifier: str | None = Field(default=None, max_length=64)
    service_tier: str | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = Field(default=None, description="Accepted.")
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None, description="Further variables of the model's chat template."
    )
    background: bool | None = None
    conversation: Any = None
    prompt: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
