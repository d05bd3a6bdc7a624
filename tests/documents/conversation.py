"""Conversations and composers as the tests of this folder write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvproxy.core import (
    Caller,
    ChatRequest,
    DocumentPart,
    DocumentRef,
    Message,
    Part,
    Role,
    TextPart,
    Tool,
    ToolCall,
)
from kvproxy.documents.library.document import Document, Framing, etag_of
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from tests.documents.models import TEXTS

ALICE, BOB = Caller("alice", "tenant:a"), Caller("bob", "tenant:b")
FRAMINGS = (Framing("system"), Framing("user"), Framing("user", "You are S. <|im_end|>"))
APACHE = (TEXTS / "apache-2.0.txt").read_text(encoding="utf-8")
REF = DocumentRef("apache", 1)

Content = str | DocumentRef | list[str | DocumentRef]


def part(value: str | DocumentRef) -> Part:
    return TextPart(value) if isinstance(value, str) else DocumentPart(value)


def chat(*messages: tuple[Role, Content], **variables: Any) -> ChatRequest:
    return ChatRequest(
        "m",
        tuple(
            Message(role, tuple(part(v) for v in (content if isinstance(content, list) else [content])))
            for role, content in messages
        ),
        template_kwargs=variables,
    )


def build(folder: Path, tokenizer: Tokenizer) -> Composer:
    return Composer(tokenizer, ChatTemplate.load(folder), Library(), FRAMINGS)


def publish(composer: Composer, id: str, text: str, **fields: Any) -> KnownDocument:
    """Add ``text`` to the composer's library as version 1."""
    tokenized = composer.tokenize(text)
    prefixes = tuple(composer.framed_prefix(text, tokenized, framing) for framing in composer.framings)
    values: dict[str, Any] = {"visibility": "public", "owner_scope": ALICE.scope, **fields}
    document = Document(id=id, version=1, text=text, etag=etag_of(text), created=0, **values)
    known = KnownDocument(document, tokenized, prefixes)
    composer.library.add(known)
    return known


def message(role: Role, text: str = "", *calls: ToolCall, **fields: Any) -> Message:
    return Message(role, (TextPart(text),) if text else (), calls, **fields)


def result(id: str, text: str) -> Message:
    return message("tool", text, tool_call_id=id)


LOOKUP = Tool(
    "lookup",
    "Find a word.",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"word": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
        "required": ["word", "limit"],
    },
    strict=True,
)
NOW = Tool("now")
