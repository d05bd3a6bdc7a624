"""The content blocks that a Messages request is made of, each under its own ``type``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


def as_blocks(content: object) -> object:
    """A string is one text block: after this there is one shape, so faults have one path."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if content is None:
        return []
    if not isinstance(content, list):
        raise ValueError("must be a string or an array of content blocks")
    return content


class _Block(_Strict):
    cache_control: Any = Field(default=None, description="A reusable prefix ends here. Any shape will do.")


class TextBlockBody(_Block):
    type: Literal["text"]
    text: str


class KvDocumentBlockBody(_Block):
    """Stands for the text of a published document."""

    type: Literal["kv_document"]
    document: str = Field(description="`handbook`, or one version of it: `handbook@3`.")


class CitationsBody(_Strict):
    enabled: bool | None = Field(default=None, description="Not supported.")


class ImageBlockBody(_Block):
    """Refused: the local model reads text only."""

    type: Literal["image"]


_SourceBlocks = list[Annotated[TextBlockBody | ImageBlockBody, Field(discriminator="type")]]


class SourceBody(_Strict):
    """Text only: ``text`` with ``data``, or ``content`` with a string or text blocks. Others are refused."""

    type: str
    data: str | None = None
    content: Annotated[
        _SourceBlocks | None, BeforeValidator(as_blocks, json_schema_input_type=str | _SourceBlocks | None)
    ] = None


class DocumentBlockBody(_Block):
    type: Literal["document"]
    source: SourceBody
    title: str | None = None
    context: str | None = None
    citations: CitationsBody | None = None


class SearchResultBlockBody(_Block):
    type: Literal["search_result"]
    source: str
    title: str
    content: list[TextBlockBody] = Field(min_length=1)
    citations: CitationsBody | None = None


class ToolUseBlockBody(_Block):
    type: Literal["tool_use"]
    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    input: dict[str, Any]


ResultBlockBody = Annotated[
    TextBlockBody | DocumentBlockBody | SearchResultBlockBody | ImageBlockBody, Field(discriminator="type")
]


class ToolResultBlockBody(_Block):
    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1)
    content: Annotated[
        list[ResultBlockBody],
        BeforeValidator(as_blocks, json_schema_input_type=str | list[ResultBlockBody] | None),
    ] = Field(default_factory=list, description="A string, or text blocks.")
    is_error: bool | None = None


class ThinkingBlockBody(_Strict):
    type: Literal["thinking"]
    thinking: str
    signature: str | None = Field(default=None, description="Accepted, not checked.")


class RedactedThinkingBlockBody(_Strict):
    """Dropped: nobody but its maker can read it."""

    type: Literal["redacted_thinking"]


ContentBlockBody = Annotated[
    TextBlockBody
    | KvDocumentBlockBody
    | DocumentBlockBody
    | SearchResultBlockBody
    | ImageBlockBody
    | ToolUseBlockBody
    | ToolResultBlockBody
    | ThinkingBlockBody
    | RedactedThinkingBlockBody,
    Field(discriminator="type"),
]

SystemBlockBody = Annotated[
    TextBlockBody | KvDocumentBlockBody | DocumentBlockBody, Field(discriminator="type")
]

BLOCK_TYPES = frozenset(
    {
        "text",
        "kv_document",
        "document",
        "search_result",
        "image",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
    }
)
