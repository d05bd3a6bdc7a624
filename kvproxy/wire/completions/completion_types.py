"""Types of text completion answers, as OpenAI's specification has them."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.chat.chat_types import UsageBody


class CompletionLogprobs(TypedDict):
    """Four lists of the same length, one entry for each token."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]
    """The offset of each token, in characters of the choice's text."""


class CompletionChoice(TypedDict):
    """One completion of one prompt, or a piece of it in a stream."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length", "content_filter"] | None
    """Null in the chunks of a stream before a choice's last one."""


class TextCompletion(TypedDict):
    """A whole answer, or one chunk of a stream: both have this shape."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: NotRequired[UsageBody | None]
