"""The bodies of ``/v1/messages`` and ``/v1/messages/count_tokens``, as clients send them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.answer_formats.engine_fields import EngineFormatsBody
from kvproxy.wire.answer_formats.response_format import ResponseFormatBody
from kvproxy.wire.anthropic.blocks import (
    BLOCK_TYPES,
    UNREAD,
    ReadBlocks,
    SystemBlockBody,
    as_blocks,
)
from kvproxy.wire.bodies.cache_hints import Salt
from kvproxy.wire.bodies.placement_body import PlacementBody
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.bodies.reuse_body import ReuseBody
from kvproxy.wire.bodies.strict import ListOf, Strict
from kvproxy.wire.bodies.validation_errors import field_path, invalid
from kvproxy.wire.fields.message_fields import MESSAGES
from kvproxy.wire.fields.screen import screen
from kvproxy.wire.tool_formats.base import MOST_NAME

MAX_STOP_SEQUENCES = 64


class AnthropicMessageBody(Strict):
    """A message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: ReadBlocks = Field(description="A string, or content blocks.")


class AnthropicToolBody(Strict):
    """A tool that the client runs. Tools that only Anthropic's servers run are left out, and named in a header."""

    type: str | None = Field(
        default=None,
        description="`custom` or nothing; `bash_…`, `text_editor_…` and `memory_…` are served too.",
    )
    name: str | None = Field(default=None, description=f"Up to {MOST_NAME} letters, digits and _ - . / : @.")
    description: str | None = None
    input_schema: Any = Field(default=None, description="JSON schema of the tool's input, an object.")
    strict: bool | None = Field(
        default=None, description="Enforce the schema while the model writes the input."
    )


class AnthropicToolChoiceBody(Strict):
    """The tool choice: ``auto``, ``any`` (at least one call), ``tool`` (the named one) or ``none``."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = Field(default=None, description="With `tool`: the one that must be called.")
    disable_parallel_tool_use: bool | None = None


class ThinkingBody(Strict):
    """The switch for reasoning before the answer."""

    type: str = Field(description="disabled, or anything else: enabled, adaptive, between_tools.")
    budget_tokens: Any = Field(
        default=None,
        description="Taken as a wish: thinking ends when the model ends it, or with `max_tokens`.",
    )
    display: Any = Field(default=None, description="`omitted`: thinking blocks come without their text.")


class OutputFormatBody(Strict):
    """A JSON schema for the text of the answer."""

    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema", description="Enforced while the model writes.")


class OutputConfigBody(Strict):
    """The effort of the reasoning and the format of the answer."""

    effort: Any = Field(default=None, description="low, medium or high, for templates that know efforts.")
    format: OutputFormatBody | None = None


class CountTokensBody(PlacementBody, EngineFormatsBody):
    """A prompt whose tokens are counted: the fields of ``/v1/messages`` that make up the prompt."""

    model: str = Field(min_length=1)
    messages: ListOf[AnthropicMessageBody] = Field(min_length=1)
    system: Annotated[
        ListOf[SystemBlockBody],
        BeforeValidator(as_blocks, json_schema_input_type=str | list[SystemBlockBody] | None),
    ] = Field(default_factory=list, description="A string, or text and `kv_document` blocks.")
    tools: ListOf[AnthropicToolBody] | None = None
    tool_choice: AnthropicToolChoiceBody | None = None
    thinking: ThinkingBody | None = Field(default=None, description="Left out: the model does not think.")
    output_config: OutputConfigBody | None = None
    output_format: OutputFormatBody | None = Field(default=None, description="The older place of the format.")
    cache_salt: Salt = Field(
        default=None,
        description="Requests with different salts, or with none, share nothing but published documents.",
    )
    response_format: ResponseFormatBody | None = Field(
        default=None, description="OpenAI's name of the format."
    )
    cache_control: Any = Field(
        default=None, description="Marks the last block of the request as the end of a reusable prefix."
    )


class MessagesBody(CountTokensBody, ReuseBody):
    """A request for a message."""

    max_tokens: int = Field(
        ge=0, description="0: compute and keep the prompt for later requests, and answer nothing."
    )
    stream: bool | None = None
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    stop_sequences: list[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None, max_length=MAX_STOP_SEQUENCES
    )


B = TypeVar("B", bound=CountTokensBody)


def parse_body(kind: type[B], body: dict[str, Any], reading: RequestReading) -> B:
    """Check a body against the field table and parse it. ``reading`` records the fields left out (modified).

    Raises InvalidRequest or UnsupportedParameter naming the field. Unknown fields are ignored. Example:
    ``parse_body(MessagesBody, body, RequestReading())``.
    """
    screen(body, MESSAGES, reading)
    try:
        return kind.model_validate(body)
    except ValidationError as e:
        raise _fault(e) from e


def _fault(error: ValidationError) -> InvalidRequest:
    """Return the first error, its path without the block types that pydantic puts into it."""
    first = error.errors(include_url=False)[0]
    steps = first["loc"]
    path = field_path(
        tuple(
            s
            for i, s in enumerate(steps)
            if not (s in (*BLOCK_TYPES, UNREAD) and i and isinstance(steps[i - 1], int))
        )
    )
    if first["type"] == "union_tag_not_found":
        return InvalidRequest(f"Missing required parameter: '{path}.type'.", param=f"{path}.type")
    if first["type"] == "union_tag_invalid":
        tag = str(first["ctx"]["tag"])[:64]
        return _unsupported(
            f"{path}.type", f"Blocks of type '{tag}' are not supported by the local model here."
        )
    shown = invalid(error)
    return InvalidRequest(shown.message.replace(f"'{shown.param}'", f"'{path}'", 1), param=path)


def _unsupported(param: str, sentence: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"Unsupported parameter '{param}': {sentence}", param=param)
