"""Decisions: hit or miss for one prompt, and the reason of a miss."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from kvproxy.core.miss_causes import MissCause
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.core.requests import DocumentRef


class MissReason(StrEnum):
    """The reason that a prompt was not served from kept pages. The list is closed: metrics use it as a label."""

    NO_DOCUMENT = "no-document"
    """Nothing at the front of the messages is known, and no earlier prompt started the same way."""
    NEW_PREAMBLE = "new-preamble"
    """The document is known, but never stood behind this system prompt or these tools for this caller."""
    NOT_RESIDENT = "not-resident"
    """The document is known under this preamble, but its pages were evicted."""
    PAGES_REJECTED = "pages-rejected"
    """Kept pages failed their checksum or belong to another fingerprint."""
    QUARANTINED = "quarantined"
    """An audit found that the document's kept pages differ from a prefill; none is used until a check passes."""
    ASKED_COLD = "asked-cold"
    """The request asked for a prefill from scratch: ``kv_reuse: none``. Nothing was looked for."""
    ENGINE_FAILED = "engine-failed"
    """The hit path failed before the first byte; the request was retried as a miss."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A prompt that starts with ``cached_tokens`` positions of KV that the caller may use."""

    cached_tokens: int
    document: DocumentRef | None
    """The first known document inside those positions; None when only an earlier prompt matched."""
    cause: MissCause | None = field(default=None, compare=False)
    """The reason that a fleet's replica has less of the document than could be; None for an engine of this process."""
    choice: ReplicaChoice | None = field(default=None, compare=False)
    """The replica that the prompt goes to, of a fleet."""


@dataclass(frozen=True, slots=True)
class Miss:
    """A prompt that is not served from kept pages, and the known document at its front, if any."""

    reason: MissReason
    document: DocumentRef | None = None
    cause: MissCause | None = field(default=None, compare=False)
    """The difference from the nearest text that the caller may know of; None until it has been compared. It explains
    the decision and is no part of it. A fleet's replica gives its own with the lookup."""
    choice: ReplicaChoice | None = field(default=None, compare=False)
    """The replica that the prompt goes to, of a fleet."""


Decision = Hit | Miss
