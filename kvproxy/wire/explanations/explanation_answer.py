"""The answer of ``/kv/v1/explain``."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11


class ComparedWith(TypedDict):
    """The other side: a document, or an earlier request of the same tenant."""

    kind: Literal["document", "request"]
    id: str
    """The document with its version, or the request's id."""
    at: float | None
    """Unix seconds of the earlier request."""
    common_tokens: int | None
    """Tokens of the common beginning; null where texts were compared and no tokens."""


class ShownToken(TypedDict):
    """The first differing token."""

    index: int
    """Counted from the prompt's beginning; beside a document's text from the beginning of what is shown of it."""
    sent: int | None
    sent_text: str | None
    other: int | None
    other_text: str | None


class ShownDifference(TypedDict):
    """The first difference: both sides have ``before``, then one ``sent`` and the other ``other``."""

    where: str
    """`messages[0]`, `tools`, `template`, or `prompt`."""
    character: int
    """The first differing character."""
    counted_from: Literal["message", "prompt", "text"]
    """The beginning of the message, of the prompt as the model sees it, or of the text beside the document."""
    before: str
    sent: str
    other: str
    token: ShownToken | None


class KvExplanation(TypedDict):
    """The outcome that a request would have now, and the first difference that made it so."""

    object: Literal["kv_explanation"]
    outcome: Literal["hit", "miss"]
    reason: str | None
    """Of a miss, as in `Cache-Status`."""
    cause: str | None
    """From the closed list of docs/misses.md; null where nothing differs."""
    meaning: str | None
    do: str | None
    """The remedy."""
    document: str | None
    """The known document at the front of the prompt."""
    prompt_tokens: int
    cached_tokens: int
    compared: ComparedWith | None
    difference: ShownDifference | None
