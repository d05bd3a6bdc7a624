"""The body of ``POST /v1/responses``. Items are one flat model: the fields that one needs depend on its type."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from kvproxy.errors import InvalidRequest
from kvproxy.wire.answer_formats.engine_fields import EngineFormatsBody
from kvproxy.wire.answer_formats.response_format import ResponseFormatBody
from kvproxy.wire.bodies.cache_hints import CacheBody, Markable
from kvproxy.wire.bodies.declared_type import declared_type
from kvproxy.wire.bodies.placement_body import PlacementBody
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.bodies.sampling import SamplingBody
from kvproxy.wire.bodies.strict import ListOf, Strict
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.fields.response_fields import RESPONSES
from kvproxy.wire.fields.screen import screen
from kvproxy.wire.history.arguments import ArgumentsText, TextOrEmpty, tool_result_content
from kvproxy.wire.responses.response_tools import ResponseToolBody
from kvproxy.wire.responses.tool_choice import ToolChoiceField

PartType = Literal[
    "input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text", "kv_document",
    "input_image", "input_file", "input_audio",
]  # fmt: skip
ItemType = Literal[
    "message", "function_call", "function_call_output", "reasoning", "item_reference",
    "custom_tool_call", "custom_tool_call_output", "local_shell_call", "local_shell_call_output",
    "shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output",
    "tool_search_call", "tool_search_output", "additional_tools",
]  # fmt: skip
ItemRole = Literal["user", "assistant", "system", "developer"]


def parse_body(body: dict[str, Any], reading: RequestReading | None = None) -> ResponsesBody:
    """Check a body against the field table and parse it. ``reading`` records the fields left out (modified).

    Raises InvalidRequest, UnsupportedParameter naming the field. Unknown fields are ignored.
    """
    screen(body, RESPONSES, reading or RequestReading())
    try:
        parsed = ResponsesBody.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e
    if parsed.input is None:
        raise InvalidRequest("Missing required parameter: 'input'.", param="input")
    return parsed


class ContentPart(Markable):
    """A piece of a message, of a call's output or of reasoning."""

    type: PartType = Field(description="Images, files and audio are refused: the local model reads text.")
    text: str | None = None
    refusal: str | None = None
    document: str | None = Field(
        default=None, description="For kv_document: a published document, like 'handbook' or 'handbook@3'."
    )


class UnreadResponsePart(ContentPart):
    """A part without text, or of an unknown type. Its fields are not checked."""

    raw: dict[str, Any]


_READ_PARTS = frozenset(get_args(PartType)) - {"input_image", "input_file", "input_audio"}
_BUILTIN_OUTPUTS = ("local_shell_call_output", "shell_call_output", "apply_patch_call_output")


def _typed(item: object) -> object:
    """Return an item with its type, which may be left out for messages and for references by id alone.

    An item of an unknown type is wrapped: it may stand in history.
    """
    if not isinstance(item, dict):
        return item
    if item.get("type") in _BUILTIN_OUTPUTS:
        return {**item, "output": None, "result": item.get("output")}
    if item.get("type") == "tool_search_call":
        return {**item, "arguments": None, "result": item.get("arguments")}
    if item.get("type") is None:
        return {**item, "type": "item_reference" if item.keys() <= {"id", "type"} else "message"}
    if item["type"] in get_args(ItemType):
        return item
    return UnreadItem.model_construct(raw=item)


def _as_parts(content: object) -> object:
    """Return a list of parts; a string is one text part. After this there is one shape, so errors have one path."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(part) for part in content] if isinstance(content, list) else content


def _part(part: Any) -> object:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict) or declared_type(part) in _READ_PARTS:
        return part
    return UnreadResponsePart.model_construct(type=part.get("type"), raw=part)


def _as_output(output: object) -> object:
    return _as_parts(tool_result_content([] if output is None else output, get_args(PartType)))


_Parts = Annotated[
    ListOf[ContentPart] | None,
    BeforeValidator(_as_parts, json_schema_input_type=str | list[ContentPart] | None),
]


class InputItem(Strict):
    """An item of the conversation. Its ``type`` says which fields it needs."""

    type: ItemType = Field(
        default="message", description="May be left out for messages, and for references by id alone."
    )
    id: str | None = None
    role: ItemRole | None = None
    content: _Parts = Field(default=None, description="Text, or parts; of reasoning: its own text.")
    call_id: str | None = None
    name: str | None = None
    namespace: TextOrEmpty = Field(default="", description="Of a called function: the group it is in.")
    arguments: ArgumentsText = ""
    input: TextOrEmpty = Field(default="", description="Of a free-form tool's call.")
    action: Any = Field(default=None, description="Of a shell's call.")
    operation: Any = Field(default=None, description="Of a call of apply_patch.")
    tools: ListOf[ResponseToolBody] | None = Field(
        default=None, description="The tools that a search has found."
    )
    result: Any = Field(default=None, exclude=True)
    status: Any = None
    output: Annotated[
        ListOf[ContentPart] | None,
        BeforeValidator(_as_output, json_schema_input_type=str | list[ContentPart] | None),
    ] = Field(default=None, description="The result of the called function.")
    summary: _Parts = None
    encrypted_content: str | None = Field(default=None, description="Not read: reasoning is sent in clear.")


class UnreadItem(InputItem):
    """An item of an unknown type, as it came."""

    raw: dict[str, Any]


def _as_items(value: object) -> object:
    """Return a list of items; a string is one user message."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return [_typed(item) for item in value] if isinstance(value, list) else value


_Items = Annotated[
    ListOf[InputItem] | None, BeforeValidator(_as_items, json_schema_input_type=str | list[InputItem])
]


class FormatBody(Strict):
    """The format of the text of the answer."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = Field(
        default=None,
        description="The schema is enforced to the letter; else as far as it can be, and the answer names the rest.",
    )


class TextBody(Strict):
    """The format and the verbosity of the text of the answer."""

    format: FormatBody | None = None
    verbosity: Any = None


class ReasoningBody(Strict):
    """The settings of the reasoning before the answer."""

    effort: Any = Field(default=None, description="none and minimal turn thinking off.")
    summary: Any = Field(default=None, description="Accepted; the reasoning itself is given instead.")


def _input_required(schema: dict[str, Any]) -> None:
    schema["required"].append("input")
    del schema["properties"]["input"]["default"]


class ResponsesBody(SamplingBody, CacheBody, PlacementBody, EngineFormatsBody):
    """A request for a response by the local model."""

    # Checked by hand after unsupported fields: a stored prompt would stand in its place.
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
    stream_options: Any = None
    tools: ListOf[ResponseToolBody] | None = None
    tool_choice: ToolChoiceField = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Any = Field(default=None, description="Of hosted tools; there are none here.")
    text: TextBody | None = None
    response_format: ResponseFormatBody | None = Field(
        default=None, description="Chat's name of text.format."
    )
    reasoning: ReasoningBody | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    include: Any = Field(
        default=None,
        description="message.output_text.logprobs; others are ignored.",
    )
    truncation: Any = Field(
        default=None, description="auto is accepted, but an input that is too long is refused all the same."
    )
    metadata: Any = None
    user: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None, description="Further variables of the model's chat template."
    )
    background: Any = Field(default=None, description="false")
