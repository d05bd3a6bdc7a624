"""Content parts of chat messages.

A part without text is refused in the message to answer, and replaced by a note in history. Parts of a message stay
apart here. They are joined with one newline when they are rendered, so that a text and a reference to it give the same
tokens.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kvproxy.core import DocumentPart, Part, TextPart
from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.cache_hints import Markable
from kvproxy.wire.bodies.declared_type import declared_type
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.bodies.strict import ListOf
from kvproxy.wire.history.notes import kind_of, record_note
from kvproxy.wire.kv_documents.document_ref import parse_document_ref

_MEDIA = {"image_url": "images", "input_audio": "audio", "file": "files"}
_FIELDS = {"text": "text", "refusal": "refusal", "kv_document": "document"}


PART_TYPES = frozenset(_MEDIA) | frozenset(_FIELDS)


class PartBody(Markable):
    """A content part of a message. ``type`` names the field that it reads."""

    type: Literal["text", "refusal", "kv_document", "image_url", "input_audio", "file"]
    text: str | None = None
    refusal: str | None = None
    document: str | None = Field(
        default=None, description="Of a kv_document: stands for the text of handbook or handbook@3."
    )

    @property
    def value(self) -> str | None:
        """Return the field that ``type`` names."""
        value: str | None = getattr(self, _FIELDS[self.type])
        return value


class UnreadContentPart(PartBody):
    """A part without text, or of an unknown type. Its fields are not checked."""

    raw: dict[str, Any]


def _readable(part: Any) -> object:
    if not isinstance(part, dict) or declared_type(part) in _FIELDS:
        return part
    return UnreadContentPart.model_construct(type=part.get("type"), raw=part)


def _as_parts(content: object) -> object:
    """Return a list of parts; a string is one text part, null is none.

    After this there is one shape, so errors have one path.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if content is None:
        return []
    if not isinstance(content, list):
        raise ValueError("must be a string or an array of content parts")
    return [{"type": "text", "text": p} if isinstance(p, str) else _readable(p) for p in content]


Content = Annotated[
    ListOf[PartBody], BeforeValidator(_as_parts, json_schema_input_type=str | list[PartBody] | None)
]


def parse_part(
    part: PartBody, role: str, where: str, reading: RequestReading, *, is_question: bool
) -> Part | None:
    """Return a part of the message; None for a part that the model needs no word of.

    ``where`` is the part's path; ``is_question``: whether the message is the one to answer. Raises InvalidRequest.
    Example: ``parse_part(part, "user", "messages[0].content[1]", reading, is_question=True)``.
    """
    history = not is_question and reading.policy.unreadable_history == "note"
    if isinstance(part, UnreadContentPart):
        if not history:
            raise _unreadable(part, where)
        text = record_note(part.raw, where, reading)
        return TextPart(text) if text else None
    if part.type == "refusal" and role != "assistant" and not history:
        raise InvalidRequest(
            f"Invalid '{where}.type': only assistant messages have refusals.", param=f"{where}.type"
        )
    field = f"{where}.{_FIELDS[part.type]}"
    if part.value is None and (part.type == "kv_document" or not history):
        raise InvalidRequest(f"Missing required parameter: '{field}'.", param=field)
    if part.type != "kv_document":
        return TextPart(part.value or "", part.mark)
    if role not in ("system", "developer", "user"):
        raise InvalidRequest(
            f"Invalid '{where}.type': a document must stand in a system or user message.",
            param=f"{where}.type",
        )
    return DocumentPart(parse_document_ref(part.value or "", param=field), part.mark)


def _unreadable(part: UnreadContentPart, where: str) -> InvalidRequest:
    if part.raw.get("type") is None:
        return InvalidRequest(f"Missing required parameter: '{where}.type'.", param=f"{where}.type")
    if declared_type(part.raw) not in _MEDIA:
        return InvalidRequest(
            f"Invalid '{where}.type': '{kind_of(part.raw)}' is not a supported type of content part. Send a part "
            "of the type 'text'.",
            param=f"{where}.type",
        )
    return InvalidRequest(
        f"Invalid '{where}': the local model reads text only; it takes no {_MEDIA[part.type]}. Leave the part out, or "
        "send its content as text.",
        param=where,
    )
