"""Content blocks of a Messages request, each under its own ``type``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kvproxy.wire.bodies.cache_hints import CacheControlled
from kvproxy.wire.bodies.declared_type import declared_type
from kvproxy.wire.bodies.strict import ListOf, Strict
from kvproxy.wire.history.arguments import TextOrEmpty, tool_result_content

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
"""The supported block types."""


def as_blocks(content: object) -> object:
    """Return a list of blocks; a string is one text block. After this there is one shape, so errors have one path."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if content is None:
        return []
    if not isinstance(content, list):
        raise ValueError("must be a string or an array of content blocks")
    return content


def _as_read(content: object) -> object:
    """Return a list of blocks with unknown ones wrapped: they may stand in history."""
    blocks = as_blocks(content)
    return [_read(block) for block in blocks] if isinstance(blocks, list) else blocks


def _read(block: Any) -> object:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    if not isinstance(block, dict) or declared_type(block) in BLOCK_TYPES:
        return block
    return {"type": UNREAD, "raw": block}


class TextBlockBody(CacheControlled):
    """A text block."""

    type: Literal["text"]
    text: str | None = Field(default=None, description="Needed; null in history is an empty text.")


class KvDocumentBlockBody(CacheControlled):
    """Stands for the text of a published document."""

    type: Literal["kv_document"]
    document: str = Field(description="`handbook`, or one version of it: `handbook@3`.")


class CitationsBody(Strict):
    """The switch for citations. The local model makes none, so ``enabled`` is refused."""

    enabled: bool | None = Field(default=None, description="Not supported.")


class ImageBlockBody(CacheControlled):
    """Refused: the local model reads text only."""

    type: Literal["image"]


UNREAD = "unread"


class UnreadBlockBody(CacheControlled):
    """A block of an unknown type, as it came."""

    type: Literal["unread"]
    raw: dict[str, Any]


_SourceBlocks = list[Annotated[TextBlockBody | ImageBlockBody, Field(discriminator="type")]]
_ReadSourceBlocks = ListOf[
    Annotated[TextBlockBody | ImageBlockBody | UnreadBlockBody, Field(discriminator="type")]
]


class SourceBody(Strict):
    """A document's source: ``text`` with ``data``, or ``content`` with a string or text blocks.

    Others are refused, and in history left out with a note to the model.
    """

    type: str
    data: str | None = None
    content: Annotated[
        _ReadSourceBlocks | None, BeforeValidator(_as_read, json_schema_input_type=str | _SourceBlocks | None)
    ] = None


class DocumentBlockBody(CacheControlled):
    """A document in the prompt itself, read as text."""

    type: Literal["document"]
    source: SourceBody
    title: str | None = None
    context: str | None = None
    citations: CitationsBody | None = None


class SearchResultBlockBody(CacheControlled):
    """A search result: its source, its title and its text blocks."""

    type: Literal["search_result"]
    source: TextOrEmpty = ""
    title: TextOrEmpty = ""
    content: Annotated[
        _ReadSourceBlocks, BeforeValidator(_as_read, json_schema_input_type=list[TextBlockBody])
    ] = Field(default_factory=list)
    citations: CitationsBody | None = None


class ToolUseBlockBody(CacheControlled):
    """A tool call of an earlier answer."""

    type: Literal["tool_use"]
    id: TextOrEmpty = ""
    name: TextOrEmpty = ""
    input: Annotated[Any, BeforeValidator(lambda value: value, json_schema_input_type=dict[str, Any])] = None


ResultBlockBody = Annotated[
    TextBlockBody | DocumentBlockBody | SearchResultBlockBody | ImageBlockBody, Field(discriminator="type")
]
_ReadResultBlock = Annotated[
    TextBlockBody
    | KvDocumentBlockBody
    | DocumentBlockBody
    | SearchResultBlockBody
    | ImageBlockBody
    | UnreadBlockBody,
    Field(discriminator="type"),
]


def _as_result(content: object) -> object:
    return _as_read(tool_result_content(content, BLOCK_TYPES))


class ToolResultBlockBody(CacheControlled):
    """The result of a tool call. ``tool_use_id`` is the id of the call."""

    type: Literal["tool_result"]
    tool_use_id: TextOrEmpty = ""
    content: Annotated[
        ListOf[_ReadResultBlock],
        BeforeValidator(_as_result, json_schema_input_type=str | list[ResultBlockBody] | None),
    ] = Field(default_factory=list, description="A string, or text blocks.")
    is_error: bool | None = None


class ThinkingBlockBody(CacheControlled):
    """The reasoning of an earlier answer."""

    type: Literal["thinking"]
    thinking: TextOrEmpty = ""
    signature: str | None = Field(default=None, description="Accepted, not checked.")


class RedactedThinkingBlockBody(CacheControlled):
    """Dropped: only its provider can read it."""

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

ReadBlock = Annotated[
    TextBlockBody
    | KvDocumentBlockBody
    | DocumentBlockBody
    | SearchResultBlockBody
    | ImageBlockBody
    | ToolUseBlockBody
    | ToolResultBlockBody
    | ThinkingBlockBody
    | RedactedThinkingBlockBody
    | UnreadBlockBody,
    Field(discriminator="type"),
]
"""Any block; unknown ones are wrapped as ``UnreadBlockBody`` by ``ReadBlocks``."""

ReadBlocks = Annotated[
    ListOf[ReadBlock], BeforeValidator(_as_read, json_schema_input_type=str | list[ContentBlockBody] | None)
]

SystemBlockBody = Annotated[
    TextBlockBody | KvDocumentBlockBody | DocumentBlockBody, Field(discriminator="type")
]
