"""The outcome of one request from its ``Cache-Status``, and the meaning of its reason in plain words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from kvproxy.core import MissCause, MissReason
from kvproxy.core.miss_remedies import REMEDIES

Outcome = Literal["hit", "miss", "shared", "bypass"]
"""``shared``: the prefill was another reader's, at the same time. ``bypass``: another provider's model answered."""

MEANING: dict[str, str] = {
    MissReason.NO_DOCUMENT: "nothing at the front of the prompt is known; publish the text, or put a published "
    "document first and unchanged, before anything that varies",
    MissReason.NEW_PREAMBLE: "the document is known, but never stood behind this system prompt or these tools; the "
    "next request with the same ones finds it, and at the head of the system message it is found at once",
    MissReason.NOT_RESIDENT: "the document's KV had been evicted; this request computed it anew, and pinning keeps it",
    MissReason.PAGES_REJECTED: "kept pages failed their check, so they were computed anew",
    MissReason.QUARANTINED: "the document is in quarantine: its kept pages differed from a prefill; publish it again",
    MissReason.ASKED_COLD: "the request asked for a prefill from scratch (kv_reuse: none), so nothing was looked for",
    MissReason.ENGINE_FAILED: "the hit failed before its first token and was answered by a prefill instead",
}

_STRING = r'"((?:[^"\\]|\\.)*)"'


@dataclass(frozen=True, slots=True)
class CacheOutcome:
    """One request's fate: the document at the head of its prompt, and a miss's reason from the closed list."""

    outcome: Outcome
    document: str | None = None
    reason: str | None = None
    cause: str | None = None
    """The difference that made it miss, where it was found in time; of a fleet's hit the reason for no more of it."""

    @property
    def meaning(self) -> str:
        """The outcome in a sentence."""
        cause = next((one for one in MissCause if one == self.cause), MissCause.UNKNOWN)
        more = f"; {REMEDIES[cause].meaning}" if cause not in (MissCause.UNKNOWN, self.reason) else ""
        if self.outcome == "miss":
            return MEANING.get(self.reason or "", "nothing of the prompt was taken from kept KV") + more
        return {
            "hit": f"the prompt begins with KV that was kept{more}",
            "shared": "the KV was not kept, but another reader's prefill of the same moment was shared",
            "bypass": "another provider's model answered; nothing was looked up here",
        }[self.outcome]


def read_outcome(header: str, cached_tokens: int) -> CacheOutcome:
    """Return the outcome in a ``Cache-Status`` value. ``cached_tokens`` decides where the header was sent too early
    to."""
    document = _string(header, "key")
    detail = _string(header, "detail")
    if "fwd=bypass" in header:
        return CacheOutcome("bypass")
    if "; collapsed" in header:
        return CacheOutcome("shared", document)
    reason, _, notes = (detail or "").partition(";")
    found = re.search(r"(?:\A|;)\s*cause=([a-z-]+)", notes)
    cause = found[1] if found else None
    if "fwd=miss" in header:
        return CacheOutcome("miss", document, reason or None, cause)
    if not ("; hit" in header or cached_tokens):
        return CacheOutcome("miss", document)
    rounded = re.search(r",block=\d+", reason) is not None
    return CacheOutcome("hit", document, None, MissCause.ROUNDED_TO_BLOCK.value if rounded else cause)


def _string(header: str, name: str) -> str | None:
    found = re.search(rf"; {name}={_STRING}", header)
    return unquote(re.sub(r"\\(.)", r"\1", found[1])) if found else None
