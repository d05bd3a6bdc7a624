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


class ExplainedReplica(TypedDict):
    """The replica of a fleet that the request would go to now."""

    name: str | None
    """Null for callers without the scope `admin`."""
    expected_tokens: int
    """Tokens of the prompt that it is believed to hold; its answer would tell the number."""
    block_tokens: int
    """It holds whole blocks of so many tokens."""
    rounded_tokens: int
    """Tokens of the document that it computes since they fill no block."""
    detail: str
    """The cause in a few words, as the time of an eviction; empty where there is no more to say."""


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
    replica: ExplainedReplica | None
    """Null for an engine of this process."""
    compared: ComparedWith | None
    difference: ShownDifference | None
