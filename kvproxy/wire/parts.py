"""Content parts of chat messages.

Parts of a message stay apart here. They are joined with one newline when they are rendered, so that a text
and a reference to it give the same tokens.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from kvproxy.core import DocumentPart, Part, TextPart
from kvproxy.errors import InvalidRequest
from kvproxy.wire.cache_hints import Markable
from kvproxy.wire.document_ref import parse_document_ref

_MEDIA = {"image_url": "images", "input_audio": "audio", "file": "files"}
_FIELDS = {"text": "text", "refusal": "refusal", "kv_document": "document"}


class PartBody(Markable):
    type: Literal["text", "refusal", "kv_document", "image_url", "input_audio", "file"]
    text: str | None = None
    refusal: str | None = None
    document: str | None = Field(
        default=None, description="Of a kv_document: stands for the text of handbook or handbook@3."
    )

    @property
    def value(self) -> str | None:
        value: str | None = getattr(self, _FIELDS[self.type])
        return value


def _as_parts(content: object) -> object:
    """A string is one text part, null is none: after this there is one shape, so faults have one path."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if content is None:
        return []
    if not isinstance(content, list):
        raise ValueError("must be a string or an array of content parts")
    return content


Content = Annotated[
    list[PartBody], BeforeValidator(_as_parts, json_schema_input_type=str | list[PartBody] | None)
]


def parse_part(part: PartBody, role: str, where: str) -> Part:
    """``where`` is the part's path. Raises InvalidRequest."""
    if part.type in _MEDIA:
        raise InvalidRequest(
            f"Invalid '{where}': the local model reads text only; it takes no {_MEDIA[part.type]}.",
            param=where,
        )
    if part.type == "refusal" and role != "assistant":
        raise InvalidRequest(
            f"Invalid '{where}.type': only assistant messages have refusals.", param=f"{where}.type"
        )
    field = f"{where}.{_FIELDS[part.type]}"
    if part.value is None:
        raise InvalidRequest(f"Missing required parameter: '{field}'.", param=field)
    if part.type != "kv_document":
        return TextPart(part.value, part.mark)
    if role not in ("system", "developer", "user"):
        raise InvalidRequest(
            f"Invalid '{where}.type': a document stands in a system or user message.", param=f"{where}.type"
        )
    return DocumentPart(parse_document_ref(part.value, param=field), part.mark)
