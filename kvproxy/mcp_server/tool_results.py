"""The results that the tools answer, as an agent reads them: the descriptions here are the tools' output schemas."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from kvproxy.core import Visibility
from kvproxy.mcp_server.cache_outcome import Outcome

_HEAD = "system"
"""The framing of documents at the head of the system message."""


class DocumentSummary(BaseModel):
    """One version of a published document."""

    reference: str = Field(
        description="Names this very version: ID@VERSION. The id alone names the current one."
    )
    uri: str = Field(description="The resource that holds its text.")
    current: bool
    visibility: Visibility = Field(
        description="private: for the API key that published it alone; granted: for those whom a grant lets in."
    )
    characters: int
    tokens: int = Field(description="Of the text alone.")
    cached_tokens: int = Field(
        description="How many tokens of it, with what the chat template puts before it, are kept right now for a "
        "prompt that begins with it, as those of `ask` do."
    )
    pinned: bool | Literal["best effort"] = Field(
        description="Its KV stays in memory; on a fleet of replicas as long as they have room for it."
    )
    replicas: int = Field(
        description="Of a fleet: how many replicas hold a part of it now. 0 for an engine of the proxy's own."
    )
    quarantined: str | None = Field(description="Why its kept KV is not used; null while it is.")


class DocumentList(BaseModel):
    """The published documents."""

    documents: list[DocumentSummary]


class PublishedDocument(BaseModel):
    """The result of publishing."""

    document: DocumentSummary
    created: bool = Field(
        description="False: the current version had this text already, and nothing was done."
    )
    prefill_s: float = Field(description="Seconds of prefill that no reader pays any more.")


class ShownDocument(BaseModel):
    """One document, and its text on request."""

    document: DocumentSummary
    text: str | None = Field(description="Where it was asked for.")


class DeletedDocument(BaseModel):
    """The document that was deleted."""

    deleted: str


class ToolAnswer(BaseModel):
    """The model's answer, and the cached part of its prompt."""

    answer: str
    finish_reason: str | None = Field(description="length: cut off at max_tokens; ask again with more.")
    model: str
    documents: list[str] = Field(description="As they were sent, in their one order.")
    prompt_tokens: int
    cached_tokens: int = Field(description="Tokens of the prompt that were not computed for this answer.")
    completion_tokens: int
    ttft_s: float | None = Field(description="Seconds to the first token.")
    outcome: Outcome
    reason: str | None = Field(description="Of a miss, from a closed list.")


class RecentMiss(BaseModel):
    """A request of this API key that was served without kept KV."""

    seconds_ago: float
    client: str
    endpoint: str
    document: str | None
    reason: str | None
    cause: str | None = Field(description="The difference that made it miss, from a closed list.")
    meaning: str
    prompt_tokens: int | None
    cached_tokens: int | None


class FirstDifference(BaseModel):
    """The first place where the prompt parts from the nearest document or earlier request of this API key's tenant."""

    cause: str | None = Field(
        description="From a closed list, like timestamp, uuid, tools-order, whitespace."
    )
    compared_with: str = Field(description="The document, or the earlier request's id.")
    where: str = Field(description="messages[0], tools, template or prompt.")
    before: str = Field(description="The common text in front of it.")
    sent: str = Field(description="This prompt from the difference on.")
    other: str = Field(description="The other one from the difference on.")
    do: str | None = Field(description="The remedy.")


class Explanation(BaseModel):
    """The cached part of a prompt, and the reason why the rest is not cached."""

    did: list[str] = Field(description="What was done to find this out, in order.")
    prompt_tokens: int
    cached_tokens: int | None = Field(description="Null where nothing was sent.")
    outcome: Outcome | None = Field(description="Null where nothing was sent.")
    reason: str | None = Field(description="Of a miss, from a closed list.")
    difference: FirstDifference | None = Field(
        description="From the nearest document or earlier request; null where nothing differs or nothing is known."
    )
    meaning: str = Field(description="The outcome in a sentence, and what would make it better.")
    recognised: str | None = Field(
        description="The published document that the prompt was found to begin with."
    )
    documents: list[DocumentSummary] = Field(
        description="Those that the prompt names or begins with, as they are now."
    )
    recent_misses: list[RecentMiss] = Field(description="From before this call, the newest first.")


def first_difference(told: dict[str, Any]) -> FirstDifference | None:
    """Return the difference in an answer of ``/kv/v1/explain``; None where it has none."""
    difference, compared = told["difference"], told["compared"]
    if difference is None or compared is None:
        return None
    return FirstDifference(
        cause=told["cause"],
        compared_with=compared["id"],
        do=told["do"],
        **{name: difference[name] for name in ("where", "before", "sent", "other")},
    )


def summary(info: dict[str, Any]) -> DocumentSummary:
    """Return the summary of a document as the proxy tells it."""
    reference = f"{info['id']}@{info['version']}"
    kept = {framing["name"]: framing.get("resident_tokens", 0) for framing in info["framings"]}
    return DocumentSummary(
        reference=reference,
        uri=f"kv://{reference}",
        current=info["current"],
        visibility=info["visibility"],
        characters=info["characters"],
        tokens=info["tokens"],
        cached_tokens=kept.get(_HEAD, max(kept.values(), default=0)),
        pinned=info.get("pinned") or False,
        replicas=max((len(framing.get("replicas", ())) for framing in info["framings"]), default=0),
        quarantined=info.get("quarantined"),
    )
