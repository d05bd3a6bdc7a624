"""`CharComposer`: a composer of prompts with one token for each character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvproxy.core import (
    HERMES,
    PUBLIC,
    Caller,
    DocumentPart,
    DocumentRef,
    Message,
    Prompt,
    Reasoning,
    Span,
    TextRequest,
)
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.errors import DocumentNotFound, InvalidRequest
from kvproxy.pipeline import Request

_ROLE_TOKENS = {"system": 2_000_000, "user": 2_000_001, "assistant": 2_000_002, "tool": 2_000_003}
END = 2_000_004
_START = 2_000_005


class CharComposer(Composer):
    """A composer with one token for each character; a known text at the front of the first message is a document.

    A mark ends with its message's text. ``reasoning`` and ``tool_format`` are those of every prompt.
    """

    def __init__(self) -> None:
        self.library = Library()  # without a document: nothing is ever withdrawn
        self.texts: dict[DocumentRef, str] = {}
        self.reasoning: Reasoning = "none"
        self.tool_format = HERMES

    async def compose_async(self, request: Request, caller: Caller, limit: int | None = None) -> Prompt:
        if isinstance(request, TextRequest):
            text = request.prompt
            return Prompt(tuple(map(ord, text)) if isinstance(text, str) else text)
        tokens: list[int] = []
        marks: list[int] = []
        for message in request.messages:
            tokens += [_ROLE_TOKENS[message.role], *map(ord, self._text(message))]
            marks += [len(tokens)] * any(part.mark for part in message.content)
            tokens += [ord(c) for call in message.tool_calls for c in f"{call.name}{call.arguments}"] + [END]
        first = self._text(request.messages[0])
        known = [(ref, text) for ref, text in self.texts.items() if first.startswith(text)]
        spans = tuple(Span(ref, 1, 1 + len(text), PUBLIC) for ref, text in known[:1])
        ids = (*tokens, _ROLE_TOKENS["assistant"])
        return Prompt(ids, spans, tuple(marks), self.reasoning, self.tool_format)

    def plain_call(self, request: Request, caller: Caller) -> dict[str, Any]:
        if isinstance(request, TextRequest):
            return {"messages": [{"role": "user", "content": request.prompt}]}
        return {"messages": [{"role": m.role, "content": self._text(m)} for m in request.messages]}

    def encode_prompt(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [_START] * add_special_tokens + [ord(c) for c in text]

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    async def predicted(self, text: str, most: int) -> tuple[int, ...]:
        return tuple(map(ord, text[:most]))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.token_texts(ids))

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        if not all(i <= _START for i in ids):
            raise InvalidRequest("Invalid 'tokens': no such token.", param="tokens")
        return ["" if i == _START else chr(i) if i < 0x110000 else f"<{i}>" for i in ids]

    def framing(self, text: str) -> tuple[int, ...]:
        """Return the tokens of the document at the head of the system message."""
        return (_ROLE_TOKENS["system"], *map(ord, text))

    def _text(self, message: Message) -> str:
        texts: list[str] = []
        for part in message.content:
            if isinstance(part, DocumentPart):
                if part.document not in self.texts:
                    raise DocumentNotFound(str(part.document), param="messages")
                texts.append(self.texts[part.document])
            else:
                texts.append(part.text)
        return "\n".join(texts)
