"""`RequestOutline`: a request's messages and tools as keyed digests, so that two can be compared without their text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from kvproxy.core import ChatRequest, DocumentPart, Message, Role, TextRequest
from kvproxy.documents.prompts.tool_texts import canonical_tools

MOST_MESSAGES = 128
"""Messages of a request that are kept as digests: a difference behind them has no place of its own."""

Place = int | Literal["tools", "template"]
"""The place of the first difference: the index of a message, the tools, or the template and its variables."""


@dataclass(frozen=True, slots=True)
class RequestOutline:
    """Digests of one request. Those of two requests are comparable where they were made with the same key."""

    messages: tuple[tuple[Role, bytes], ...] = ()
    tools: bytes = b""
    """Digest of the tools; empty where there are none. The prompt has them in one order, whatever the client's is."""
    variables: bytes = b""
    """Digest of the template's variables."""

    @property
    def bytes_kept(self) -> int:
        """The memory that it takes, about."""
        return 160 + 110 * len(self.messages)


def outline_of(request: ChatRequest | TextRequest, key: bytes) -> RequestOutline:
    """Return the outline of a request; ``key``, up to 64 bytes, is this process's own. A text completion has no parts.

    Example:
        ``outline = outline_of(request, secrets.token_bytes(16))``
    """
    if not isinstance(request, ChatRequest):
        return RequestOutline()
    tools = [tool for tool in request.tools if not tool.found]
    return RequestOutline(
        tuple((message.role, _digest(_text(message), key)) for message in request.messages[:MOST_MESSAGES]),
        _digest(json.dumps(canonical_tools(tools), ensure_ascii=False), key) if tools else b"",
        _digest(json.dumps(request.template_kwargs, default=str, sort_keys=True), key),
    )


def roles_changed(one: RequestOutline, two: RequestOutline) -> bool:
    """Return whether the first message that differs has the same text, under another role or in another message."""
    index = first_message(one, two)
    if index is None:
        return False
    ours, theirs = one.messages[index:], two.messages[index:]
    if not ours or not theirs:
        return False
    moved = {digest for _, digest in theirs}
    return ours[0][1] in moved and theirs[0][1] in {digest for _, digest in ours}


def first_message(one: RequestOutline, two: RequestOutline) -> int | None:
    """Return the index of the first message that differs in text or role, or that only one request has; None where
    there is none."""
    for index, (ours, theirs) in enumerate(zip(one.messages, two.messages, strict=False)):
        if ours != theirs:
            return index
    shorter, longer = sorted((len(one.messages), len(two.messages)))
    return shorter if shorter < longer else None


def changed_place(one: RequestOutline, two: RequestOutline) -> Place | None:
    """Return the place of the first difference of two requests, None where none is seen.

    Tools go first, which chat templates show in front of the messages; variables last, most of which change the end.
    """
    if one.tools != two.tools:
        return "tools"
    index = first_message(one, two)
    if index is None and one.variables != two.variables:
        return "template"
    return index


def _text(message: Message) -> str:
    parts = (
        f"\0{part.document}" if isinstance(part, DocumentPart) else part.text for part in message.content
    )
    calls = (f"\1{call.name}\1{call.arguments}" for call in message.tool_calls)
    return "\n".join((*parts, *calls))


def _digest(text: str, key: bytes) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
