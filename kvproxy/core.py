"""The words every layer shares: values only, standard library only, no I/O.

A request travels as a :class:`ChatRequest` (what the client meant), becomes a
:class:`Prompt` (token ids and where the documents stand in them), and comes back as a
stream of :data:`Event` values that ends in exactly one :class:`Finished` or an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

PAGE_TOKENS = 256
"""Positions in one page of KV. Part of the engine fingerprint; never change it in place."""

Role = Literal["system", "user", "assistant", "tool"]
Visibility = Literal["public", "private"]
FinishReason = Literal["stop", "length"]

PUBLIC = "public"
"""Scope of the pages of public documents: any caller may read them, only publishing writes them."""


class MissReason(StrEnum):
    """Why a prompt was not served from kept pages. The list is closed: metrics use it as a label."""

    NO_DOCUMENT = "no-document"
    """Nothing at the front of the messages is known, and no earlier prompt started the same way."""
    NEW_PREAMBLE = "new-preamble"
    """The document is known, but never stood behind this system prompt or these tools for this caller."""
    NOT_RESIDENT = "not-resident"
    """The document is known under this preamble, but its pages were evicted."""
    PAGES_REJECTED = "pages-rejected"
    """Kept pages failed their checksum or belong to another fingerprint."""
    ENGINE_FAILED = "engine-failed"
    """The hit path failed before the first byte; the request was retried as a miss."""


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """Names a document, or one version of it: ``handbook`` or ``handbook@3``."""

    id: str
    version: int | None = None

    def __str__(self) -> str:
        return self.id if self.version is None else f"{self.id}@{self.version}"


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class DocumentPart:
    """``{"type": "kv_document", "document": "handbook@3"}``: stands for the document's text."""

    document: DocumentRef


Part = TextPart | DocumentPart


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message as the client sent it, with ``developer`` already turned into ``system``."""

    role: Role
    content: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens. ``temperature == 0`` is greedy; ``top_k == 0`` and ``top_p == 1`` are off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A validated chat completion request for any model."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    stream: bool = False
    include_usage: bool = False
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Extra variables for the chat template, e.g. ``{"enable_thinking": False}``."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. ``scope`` is derived by the server from the API key; no caller can choose it."""

    name: str
    scope: str

    @property
    def readable(self) -> tuple[str, ...]:
        """Scopes whose pages this caller may read, in the order they are tried."""
        return (PUBLIC, self.scope)


@dataclass(frozen=True, slots=True)
class Span:
    """A known document inside a prompt: its tokens are ``token_ids[start:end]``.

    ``end`` is the last position whose token belongs to the document alone, whatever text follows.
    """

    document: DocumentRef
    start: int
    end: int
    scope: str | None = None
    """The document's own scope when ``token_ids[:end]`` is one of its published framings, so that whoever
    prefills it restores the published pages; None under any other preamble (the caller's scope then)."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The exact token ids that the model will see, and the documents found in them."""

    token_ids: tuple[int, ...]
    documents: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """Pages that hold the first ``tokens`` positions of a prompt; held while the lookup's block is open."""

    tokens: int
    on_disk: int
    """How many of those positions must be loaded first."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """No page that the caller may use."""

    seen: bool
    """True when the first page was once kept for this caller and has been evicted."""


Lookup = Found | NotFound


@dataclass(frozen=True, slots=True)
class KeptPage:
    key: bytes
    """sha256 page key, 32 bytes."""
    tokens: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What is written down of one published prefix: enough to find its pages again after a restart."""

    fingerprint: str
    token_ids: tuple[int, ...]
    pages: tuple[KeptPage, ...]
    bytes: int
    prefill_s: float
    """0.0 when every page was there already."""


@dataclass(frozen=True, slots=True)
class Hit:
    """The prompt starts with ``cached_tokens`` positions whose KV the caller may use."""

    cached_tokens: int
    document: DocumentRef | None
    """The first known document inside those positions; None when only an earlier prompt matched."""


@dataclass(frozen=True, slots=True)
class Miss:
    reason: MissReason
    document: DocumentRef | None = None


Decision = Hit | Miss


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts in tokens. ``prompt_tokens`` includes ``cached_tokens``, as OpenAI counts."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """First event of a generation: the prompt is prefilled and the first token is known.

    ``cached_tokens`` is what was really taken from pages, which a lookup can only promise.
    """

    cached_tokens: int
    collapsed: bool
    """True when a prefill in flight for another request was waited for and shared."""
    queue_s: float
    load_s: float
    prefill_s: float


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Whole characters only; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    reason: FinishReason
    usage: Usage


Event = Started | TextDelta | Finished
