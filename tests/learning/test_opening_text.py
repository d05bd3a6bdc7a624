from __future__ import annotations

import pytest

from kvproxy.core import (
    CacheHints,
    ChatRequest,
    DocumentPart,
    DocumentRef,
    Message,
    Prompt,
    Span,
    TextPart,
    TextRequest,
)
from kvproxy.learning.opening_text import opening_text

SYSTEM = Message("system", (TextPart("A long manual."), TextPart("More.")))
USER = Message("user", (TextPart("Why?"),))
NOTHING = Prompt((1, 2, 3))


def request(*messages: Message, cache: CacheHints | None = None) -> ChatRequest:
    return ChatRequest("m", messages, cache=cache or CacheHints())


def behind(id: str) -> Prompt:
    return Prompt((1, 2, 3), (Span(DocumentRef(id, 1), 0, 2),))


def test_the_first_part_of_the_first_message_is_the_opening() -> None:
    assert opening_text(request(SYSTEM, USER), NOTHING) == "A long manual."
    assert opening_text(request(USER), NOTHING) == "Why?"
    assert opening_text(request(SYSTEM, USER), behind("learned/0123456789ab")) == "A long manual."


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        (TextRequest("m", "A long manual."), NOTHING),
        (request(SYSTEM, USER), behind("handbook")),
        (request(SYSTEM, USER, Message("assistant", (TextPart("So."),)), USER), NOTHING),
        (request(SYSTEM, USER, cache=CacheHints(explicit=True)), NOTHING),
        (request(Message("system", (DocumentPart(DocumentRef("handbook")),)), USER), NOTHING),
        (request(SYSTEM, USER), Prompt((1, 2, 3), confined=True)),
        (request(), NOTHING),
    ],
)
def test_nothing_is_learned_from(asked: ChatRequest | TextRequest, prompt: Prompt) -> None:
    assert opening_text(asked, prompt) is None
