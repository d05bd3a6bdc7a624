"""Texts and conversations whose tokens a replica must make as this proxy does; the proxy sends tokens, not texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import InvalidRequest

_WEATHER: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place, now.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "A town."}},
            "required": ["place"],
        },
    },
}


@dataclass(frozen=True, slots=True)
class TokenSample:
    """A text, or a conversation with its tools."""

    name: str
    """For messages: ``plain text``, ``a conversation with tools``."""
    text: str | None = None
    messages: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()

    def body(self, model: str) -> dict[str, Any]:
        """Return the body of ``/tokenize`` for it: ``sample.body("qwen3-4b")``."""
        if self.text is not None:
            return {"model": model, "prompt": self.text, "add_special_tokens": False}
        tools = {"tools": list(self.tools)} if self.tools else {}
        return {"model": model, "messages": list(self.messages), "add_generation_prompt": True, **tools}

    def tokens(self, tokenizer: Tokenizer, template: ChatTemplate) -> list[int] | None:
        """Return this proxy's own tokens; None where the template refuses the conversation.

        Example: ``sample.tokens(tokenizer, template)``
        """
        if self.text is not None:
            return tokenizer.encode_text(self.text)
        try:
            rendered = template.render(self.messages, dict(tokenizer.special_tokens), tools=self.tools)
        except InvalidRequest:
            return None
        ids: list[int] = []
        for piece in tokenizer.pieces(rendered):
            ids += [piece] if isinstance(piece, int) else tokenizer.encode_text(piece)
        return ids


TEXTS = (
    TokenSample("plain text", "The quick brown fox jumps over the lazy dog, twice: 1,234.56 times."),
    TokenSample("white space", "a  b   c\n\n\n  d\t\te \r\n f"),
    TokenSample("other scripts", "Größe naïve — Ελλάδα, Україна, 日本語のテキスト, العربية, 👩‍👩‍👧 ﬁn"),
    TokenSample("code", "def f(x):\n    return {'a': [x ** 2 for x in range(10)]}  # 100%\n"),
)

_USER: Mapping[str, Any] = {"role": "user", "content": "What is the weather in Gent?"}
_SYSTEM: Mapping[str, Any] = {"role": "system", "content": "Answer briefly.\n\nBe kind."}

CONVERSATIONS = (
    TokenSample("a question", messages=(_USER,)),
    TokenSample("a system message", messages=(_SYSTEM, _USER)),
    TokenSample(
        "several turns",
        messages=(
            _SYSTEM,
            _USER,
            {"role": "assistant", "content": "Rain."},
            {"role": "user", "content": "And  now?"},
        ),
    ),
    TokenSample("a conversation with tools", messages=(_SYSTEM, _USER), tools=(_WEATHER,)),
)


def first_difference(own: Sequence[int], other: Sequence[int]) -> int | None:
    """Return the first position at which two token lists differ; None where they are equal."""
    for at, (a, b) in enumerate(zip(own, other, strict=False)):
        if a != b:
            return at
    return None if len(own) == len(other) else min(len(own), len(other))
