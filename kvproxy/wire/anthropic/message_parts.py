"""Content blocks to the parts of a message.

A block without text is refused in the message to answer, and replaced by a note in history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvproxy.core import DocumentPart, Part, TextPart
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.anthropic.blocks import (
    DocumentBlockBody,
    KvDocumentBlockBody,
    ReadBlock,
    RedactedThinkingBlockBody,
    SearchResultBlockBody,
    TextBlockBody,
    ThinkingBlockBody,
    UnreadBlockBody,
)
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.history.notes import kind_of, record_note
from kvproxy.wire.kv_documents.document_ref import parse_document_ref


@dataclass(frozen=True, slots=True)
class BlockReader:
    """Reads the blocks of one message."""

    reading: RequestReading
    is_question: bool
    """True for the message to answer: unreadable blocks in it are refused."""

    @property
    def lenient(self) -> bool:
        """Return whether an unreadable block is replaced by a note, rather than refused."""
        return not self.is_question and self.reading.policy.unreadable_history == "note"

    def parts(self, block: ReadBlock, where: str) -> tuple[Part, ...]:
        """Return a block's text as parts; ``cache_control`` marks the last one.

        Raises UnsupportedParameter for a block without text, InvalidRequest for a block that has no place here.
        """
        match block:
            case TextBlockBody():
                parts: tuple[Part, ...] = (TextPart(self._text(block, where)),)
            case KvDocumentBlockBody():
                parts = (DocumentPart(parse_document_ref(block.document, param=f"{where}.document")),)
            case DocumentBlockBody():
                parts = self._document(block, where)
            case SearchResultBlockBody():
                self._no_citations(block, where)
                parts = (
                    TextPart(f"{block.title} ({block.source})"),
                    *self.all(block.content, f"{where}.content"),
                )
            case _:
                parts = self._odd(block, where)
        return parts if block.cache_control is None else with_mark(parts)

    def all(self, blocks: Sequence[ReadBlock], where: str) -> tuple[Part, ...]:
        """Return the parts of several blocks, in order. Raises as ``parts`` does."""
        return tuple(part for i, block in enumerate(blocks) for part in self.parts(block, f"{where}[{i}]"))

    def note(self, raw: dict[str, Any], where: str) -> tuple[Part, ...]:
        """Return a note in the place of an unreadable block: one part, or none where the note is empty."""
        text = record_note(raw, where, self.reading)
        return (TextPart(text),) if text else ()

    def _odd(self, block: ReadBlock, where: str) -> tuple[Part, ...]:
        if self.lenient:
            if isinstance(block, ThinkingBlockBody | RedactedThinkingBlockBody):
                return ()
            raw = block.raw if isinstance(block, UnreadBlockBody) else block.model_dump(exclude_none=True)
            return self.note(raw, where)
        if block.type == "image":
            raise unsupported_block(
                f"{where}.type",
                "the local model reads text only, no images. Send a description of it as text",
            )
        if isinstance(block, UnreadBlockBody):
            if block.raw.get("type") is None:
                raise InvalidRequest(f"Missing required parameter: '{where}.type'.", param=f"{where}.type")
            kind = kind_of(block.raw)
            raise unsupported_block(
                f"{where}.type", f"Blocks of type '{kind}' are not supported by the local model here"
            )
        raise InvalidRequest(
            f"Invalid '{where}.type': a block of type '{block.type}' is not allowed in this message.",
            param=f"{where}.type",
        )

    def _text(self, block: TextBlockBody, where: str) -> str:
        if block.text is None and not self.lenient:
            raise InvalidRequest(f"Missing required parameter: '{where}.text'.", param=f"{where}.text")
        return block.text or ""

    def _document(self, block: DocumentBlockBody, where: str) -> tuple[Part, ...]:
        """Return a document's text, its title and context behind: a known document is recognised by its start."""
        self._no_citations(block, where)
        source = block.source
        if source.type == "text" and source.data is not None:
            texts: tuple[Part, ...] = (TextPart(source.data),)
        elif source.type == "content" and source.content:
            texts = self.all(source.content, f"{where}.source.content")
        elif self.lenient:
            return self.note({"type": "document", "title": block.title, "context": block.context}, where)
        else:
            raise unsupported_block(
                f"{where}.source",
                "the local model reads text only. Send the document's text: "
                '{"type": "text", "media_type": "text/plain", "data": "…"}',
            )
        about = [f"titled: {block.title}"] if block.title else []
        about += [f"described: {block.context}"] if block.context else []
        return (*texts, TextPart(f"(The document above is {'; '.join(about)})")) if about else texts

    def _no_citations(self, block: DocumentBlockBody | SearchResultBlockBody, where: str) -> None:
        if block.citations is None or not block.citations.enabled:
            return
        if not self.lenient:
            raise unsupported_block(f"{where}.citations", "the local model makes no citations. Leave it out")
        self.reading.leave_out(f"{where}.citations", "citations")


def with_mark(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts with a cache mark on the last one."""
    return (*parts[:-1], replace(parts[-1], mark=True)) if parts else parts


def unsupported_block(param: str, sentence: str) -> UnsupportedParameter:
    """Return the error for a block that the local model cannot read; ``sentence`` comes without its full stop."""
    return UnsupportedParameter(f"Unsupported parameter '{param}': {sentence}.", param=param)
