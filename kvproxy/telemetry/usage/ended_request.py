"""`EndedRequest`: what the usage figures take of one request that has ended. Never a prompt's text."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core import DocumentRef, MissReason


@dataclass(frozen=True, slots=True)
class DocumentPassage:
    """A document in the prompt of a request, and how much of it came from kept pages."""

    document: DocumentRef
    """With its version."""
    cached_tokens: int
    """0: it was in the prompt, and all of it was computed."""


@dataclass(frozen=True, slots=True)
class EndedRequest:
    """One request that has ended, as its tenant's figures count it."""

    id: str
    tenant: str
    """The tenant's name, as the ledger has it (``Caller.name``)."""
    at: float
    """Unix seconds of its end."""
    model: str
    """The served model; empty where the request named none that is known."""
    hit: bool | None = None
    """Whether its prompt began with kept pages; None where no served model was asked."""
    reason: str | None = None
    """The reason of a miss."""
    cause: str | None = None
    """The cause of a miss, from the closed list of docs/misses.md."""
    document: str | None = None
    """The first known document of a miss, ``handbook@3``."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    ttft_s: float | None = None
    saved_us: int = 0
    """Microseconds of prefill that the cached tokens would have taken."""
    currency: str = ""
    """Empty where nothing was priced."""
    saved_nano: int = 0
    passages: tuple[DocumentPassage, ...] = ()
    answer: str = ""
    """The answer's own id, under which its prompt is remembered; empty without a reply."""
    retain: bool = True
    """False: it leaves sums of its tenant and of no name behind, and no entry of its own."""

    @property
    def asked_cold(self) -> bool:
        """True where it asked to be computed from scratch (``kv_reuse: none``): there was no hit to lose."""
        return self.reason == MissReason.ASKED_COLD
