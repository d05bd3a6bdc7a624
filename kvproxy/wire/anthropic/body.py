"""The bodies of ``/v1/messages`` and ``/v1/messages/count_tokens``, as clients send them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kvproxy.errors import InvalidRequest, UnsupportedParameter, UnsupportedThread
from kvproxy.wire.answer_formats.engine_fields import EngineFormatsBody
from kvproxy.wire.anthropic.blocks import (
    BLOCK_TYPES,
    CacheControl,
    ContentBlockBody,
    SystemBlockBody,
    as_blocks,
)
from kvproxy.wire.faults import field_path, invalid
from kvproxy.wire.response_format import ResponseFormatBody

MAX_STOP_SEQUENCES = 64


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class MessageBody(_Strict):
    role: Literal["user", "assistant", "system"]
    content: Annotated[
        list[ContentBlockBody],
        BeforeValidator(as_blocks, json_schema_input_type=str | list[ContentBlockBody] | None),
    ] = Field(description="A string, or content blocks.")


class ToolBody(_Strict):
    """A tool that the client runs. Tools that Anthropic's servers run are refused."""

    type: str | None = Field(default=None, description="`custom`, or nothing.")
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    description: str | None = None
    input_schema: dict[str, Any] = Field(description="JSON schema of the tool's input, an object.")
    strict: bool | None = Field(
        default=None, description="Enforce the schema while the model writes the input."
    )
    cache_control: CacheControl | None = None
    input_examples: list[Any] | None = Field(default=None, description="Not supported.")
    allowed_callers: list[str] | None = Field(default=None, description="Must include `direct`.")


class ToolChoiceBody(_Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = Field(default=None, description="With `tool`: the one that must be called.")
    disable_parallel_tool_use: bool | None = None


class ThinkingBody(_Strict):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Taken as a wish: thinking ends when the model ends it, or with `max_tokens`.",
    )
    display: Literal["summarized", "omitted"] | None = Field(
        default=None, description="`omitted`: thinking blocks come without their text."
    )


class OutputFormatBody(_Strict):
    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema", description="Enforced while the model writes.")


class OutputConfigBody(_Strict):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormatBody | None = None


class CountTokensBody(EngineFormatsBody):
    model: str = Field(min_length=1)
    messages: list[MessageBody] = Field(min_length=1)
    system: Annotated[
        list[SystemBlockBody],
        BeforeValidator(as_blocks, json_schema_input_type=str | list[SystemBlockBody] | None),
    ] = Field(default_factory=list, description="A string, or text and `kv_document` blocks.")
    tools: list[ToolBody] | None = None
    tool_choice: ToolChoiceBody | None = None
    thinking: ThinkingBody | None = Field(default=None, description="Left out: the model does not think.")
    output_config: OutputConfigBody | None = None
    output_format: OutputFormatBody | None = Field(default=None, description="The older place of the format.")
    response_format: ResponseFormatBody | None = Field(
        default=None, description="OpenAI's name of the format."
    )
    cache_control: CacheControl | None = Field(
        default=None, description="Marks the last block of the request as the end of a reusable prefix."
    )


class MessagesBody(CountTokensBody):
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

_UNSUPPORTED = ("container", "mcp_servers", "context_management", "compaction")
"""What would change the prompt or the answer and runs on Anthropic's servers only. Empty values pass."""


def parse_body(kind: type[B], body: dict[str, Any]) -> B:
    """Raises InvalidRequest or UnsupportedParameter naming the field. Unknown fields are ignored."""
    for name in _UNSUPPORTED:
        if body.get(name) and body[name] != {"edits": []}:
            raise _unsupported(name, "the local model does not support it. Leave it out.")
    if body.get("thread"):
        raise UnsupportedThread(
            "Unsupported parameter 'thread': no conversations are kept here. Send the whole one.",
            param="thread",
        )
    _refuse_server_tools(body.get("tools"))
    try:
        return kind.model_validate(body)
    except ValidationError as e:
        raise _fault(e) from e


def _refuse_server_tools(tools: object) -> None:
    """Before their fields are checked, since they have fields of their own."""
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind != "custom":
            param = f"tools[{index}].type"
            raise _unsupported(
                param, f"The tool type '{kind[:64]}' is not supported: only tools with an 'input_schema' are."
            )


def _fault(error: ValidationError) -> InvalidRequest:
    """The first fault, its path without the block types that pydantic puts into it."""
    first = error.errors(include_url=False)[0]
    steps = first["loc"]
    path = field_path(
        tuple(
            s for i, s in enumerate(steps) if not (s in BLOCK_TYPES and i and isinstance(steps[i - 1], int))
        )
    )
    if first["type"] == "union_tag_not_found":
        return InvalidRequest(f"Missing required parameter: '{path}.type'.", param=f"{path}.type")
    if first["type"] == "union_tag_invalid":
        tag = str(first["ctx"]["tag"])[:64]
        return _unsupported(
            f"{path}.type", f"Blocks of type '{tag}' are not supported by the local model here."
        )
    told = invalid(error)
    return InvalidRequest(told.message.replace(f"'{told.param}'", f"'{path}'", 1), param=path)


def _unsupported(param: str, sentence: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"Unsupported parameter '{param}': {sentence}", param=param)
