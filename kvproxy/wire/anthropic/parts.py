"""Content blocks to the parts of a message."""

from __future__ import annotations

from dataclasses import replace

from kvproxy.core import DocumentPart, Part, TextPart
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.anthropic.blocks import (
    ContentBlockBody,
    DocumentBlockBody,
    KvDocumentBlockBody,
    SearchResultBlockBody,
    TextBlockBody,
)
from kvproxy.wire.document_ref import parse_document_ref


def block_parts(block: ContentBlockBody, where: str) -> tuple[Part, ...]:
    """What a block says as text; ``cache_control`` marks its last part.

    Raises UnsupportedParameter for what is no text, InvalidRequest for a block that has no place here.
    """
    match block:
        case TextBlockBody():
            parts: tuple[Part, ...] = (TextPart(block.text),)
        case KvDocumentBlockBody():
            parts = (DocumentPart(parse_document_ref(block.document, param=f"{where}.document")),)
        case DocumentBlockBody():
            parts = _document(block, where)
        case SearchResultBlockBody():
            _no_citations(block, where)
            head = TextPart(f"{block.title} ({block.source})")
            parts = (head, *(TextPart(b.text, b.cache_control is not None) for b in block.content))
        case _ if block.type == "image":
            raise refused(f"{where}.type", "the local model reads text only, no images")
        case _:
            raise InvalidRequest(
                f"Invalid '{where}.type': a block of type '{block.type}' does not belong into this message.",
                param=f"{where}.type",
            )
    return parts if block.cache_control is None else marked(parts)


def marked(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return (*parts[:-1], replace(parts[-1], mark=True)) if parts else parts


def refused(param: str, sentence: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"Unsupported parameter '{param}': {sentence}.", param=param)


def _document(block: DocumentBlockBody, where: str) -> tuple[Part, ...]:
    """The text first, what is said about it behind: a known document is recognised by its beginning."""
    _no_citations(block, where)
    source = block.source
    if source.type == "text" and source.data is not None:
        texts = [TextPart(source.data)]
    elif source.type == "content" and source.content:
        texts = []
        for index, inner in enumerate(source.content):
            if not isinstance(inner, TextBlockBody):
                raise refused(
                    f"{where}.source.content[{index}].type", "the local model reads text only, no images"
                )
            texts.append(TextPart(inner.text, inner.cache_control is not None))
    else:
        raise refused(
            f"{where}.source",
            "the local model reads text only. Send the document's text: "
            '{"type": "text", "media_type": "text/plain", "data": "…"}',
        )
    about = [f"titled: {block.title}"] if block.title else []
    about += [f"described: {block.context}"] if block.context else []
    return (*texts, TextPart(f"(The document above is {'; '.join(about)})")) if about else tuple(texts)


def _no_citations(block: DocumentBlockBody | SearchResultBlockBody, where: str) -> None:
    if block.citations is not None and block.citations.enabled:
        raise refused(f"{where}.citations", "the local model makes no citations. Leave it out")
