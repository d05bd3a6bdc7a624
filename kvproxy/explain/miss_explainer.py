"""`MissExplainer`: the cause of a miss, from the nearest document or request that its caller may know of.

Called on a thread: see ``explaining_thread``. Nothing that it looks at is another tenant's: requests lie apart by the
scope of their caller and its salt, and documents are compared as ``nearest_document`` does. A document that its reader
may use but not read is compared in no part: the prompt is cut off in front of it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from kvproxy.core import (
    PAGE_TOKENS,
    Caller,
    ChatRequest,
    Decision,
    DocumentRef,
    Miss,
    MissCause,
    MissReason,
    Prompt,
    TextRequest,
)
from kvproxy.core.common_prefix import common_prefix
from kvproxy.documents.library.library import Library
from kvproxy.explain.difference_cause import cause_of, volatile_cause
from kvproxy.explain.nearest_document import NearDocument, near_documents
from kvproxy.explain.previous_requests import KeptRequest, NearestRequest, PreviousRequests, packed
from kvproxy.explain.request_outline import (
    Place,
    RequestOutline,
    changed_place,
    outline_of,
    roles_changed,
)
from kvproxy.explain.text_difference import TextDifference
from kvproxy.explain.token_difference import NARROW, WIDE, Decode, TokenWindow, token_difference

DIRECT = {
    MissReason.NOT_RESIDENT: MissCause.EVICTED,
    MissReason.PAGES_REJECTED: MissCause.FINGERPRINT,
    MissReason.QUARANTINED: MissCause.QUARANTINED,
    MissReason.ASKED_COLD: MissCause.ASKED_COLD,
    MissReason.ENGINE_FAILED: MissCause.ENGINE_FAILED,
}
"""Reasons that are their own cause: nothing has to be compared."""

SIMILAR = 24
"""Common tokens from which two prompts are compared at all: a template's first words are common to unrelated ones."""
_OPENING = 160
"""Tokens in front of a document in which a date or an id is looked for."""


@dataclass(frozen=True, slots=True)
class AskedPrompt:
    """One request with its prompt and the decision about it."""

    request: ChatRequest | TextRequest
    prompt: Prompt
    caller: Caller
    """With the request's salt."""
    decision: Decision


@dataclass(frozen=True, slots=True)
class FoundCause:
    """The cause, and the document or request beside which it was seen."""

    cause: MissCause | None
    """None where nothing differs."""
    document: DocumentRef | None = None
    request: KeptRequest | None = None
    common: int | None = None
    """Tokens of the common beginning with that request or with the document under its published framing."""
    place: Place | None = None
    difference: TextDifference | None = None
    """None where only positions may be told, or nothing differs."""


class MissExplainer:
    """Compares prompts. Safe in any thread."""

    def __init__(
        self, library: Library, decode: Decode, previous: PreviousRequests | None, *, key: bytes | None = None
    ) -> None:
        """``previous``: None keeps no request. ``key``: of the digests; None makes one.

        Example: ``MissExplainer(library, composer.decode, PreviousRequests(ttl_s=3600, max_requests=32, ...))``
        """
        self.previous = previous
        self._library = library
        self._decode = decode
        self._key = key or secrets.token_bytes(32)

    def remember(self, asked: AskedPrompt, id: str) -> None:
        """Keep a request that was served, for those to come. Nothing is kept of one with a text that its caller may
        not see, nor of one that is to leave nothing behind or has kept no page."""
        hints = asked.request.cache
        if (
            self.previous is None
            or asked.prompt.confined
            or not (asked.caller.retains(hints) and hints.reuse)
        ):
            return
        outline = outline_of(asked.request, self._key)
        self.previous.add(asked.caller.cache_scope, id, asked.prompt.token_ids, outline)

    def cause(self, asked: AskedPrompt) -> MissCause | None:
        """Return the cause of a miss, None for a hit. Costs some hundred microseconds, for any length of prompt."""
        return self.found(asked).cause if isinstance(asked.decision, Miss) else None

    def found(self, asked: AskedPrompt) -> FoundCause:
        """Return what differed from the nearest document or, where none is near, from the nearest earlier request.

        Example: ``explainer.found(AskedPrompt(request, prompt, caller, Miss(MissReason.NO_DOCUMENT)))``
        """
        decision = asked.decision
        if isinstance(decision, Miss) and (decision.cause is not None or decision.reason in DIRECT):
            return FoundCause(decision.cause or DIRECT[decision.reason], decision.document)
        if isinstance(decision, Miss) and decision.reason is MissReason.NO_DOCUMENT:
            near = next(near_documents(asked.request, self._library, asked.caller), None)
            if near is not None:
                return beside(near)
        beside_request = self.beside_request(asked)
        if isinstance(decision, Miss) and decision.reason is MissReason.NEW_PREAMBLE:
            first = asked.prompt.documents[0]
            earlier = beside_request is not None and (beside_request.common or 0) < first.start
            if beside_request is None or not earlier or beside_request.cause in _VAGUE:
                return self._in_front(asked)
        if beside_request is not None:
            return beside_request
        short = len(asked.prompt.token_ids) < PAGE_TOKENS
        return FoundCause(MissCause.TOO_SHORT if short else MissCause.NO_DOCUMENT)

    def beside_request(
        self, asked: AskedPrompt, *, other: bool = False, window: TokenWindow = NARROW
    ) -> FoundCause | None:
        """Return the first difference from the nearest earlier request of the caller; None where there is none.

        ``other``: pass over the same request, sent before. ``window``: what is decoded, a narrow one first.

        Example:
            ``found = explainer.beside_request(asked, other=True)``
        """
        if self.previous is None:
            return None
        ids = comparable(asked.prompt)
        near = self.previous.nearest(asked.caller.cache_scope, packed(ids), other=other)
        if near is None or not near.common:
            return None
        return self._compared(asked, ids, near, window)

    def _compared(
        self, asked: AskedPrompt, ids: tuple[int, ...], near: NearestRequest, window: TokenWindow
    ) -> FoundCause:
        theirs, common = near.request.token_ids, near.common
        found = FoundCause(None, request=near.request, common=common)
        kept = isinstance(asked.decision, Miss) and asked.decision.reason is MissReason.NO_DOCUMENT
        if common == min(len(ids), len(theirs)):
            gone = MissCause.EVICTED if common >= PAGE_TOKENS else MissCause.TOO_SHORT
            return replace(found, cause=gone if kept else None)
        outline = outline_of(asked.request, self._key)
        difference = token_difference(ids, theirs, common, self._decode, window)
        place = changed_place(outline, near.request.outline)
        found = replace(found, place=place, difference=difference)
        if kept and common >= PAGE_TOKENS:
            return replace(found, cause=MissCause.EVICTED)
        rest = len(ids) - common
        cause = prompt_cause(difference, outline, near.request.outline, common, rest)
        if (
            cause in (MissCause.UNKNOWN, MissCause.NO_DOCUMENT)
            and window is NARROW
            and _like_json(difference)
        ):
            wide = token_difference(ids, theirs, common, self._decode, WIDE)
            cause = MissCause.TOOLS_ORDER if cause_of(wide) is MissCause.TOOLS_ORDER else cause
        return replace(found, cause=cause)

    def _in_front(self, asked: AskedPrompt) -> FoundCause:
        """Return the cause of a document behind a preamble that it never stood behind."""
        first = asked.prompt.documents[0]
        opening = self._decode(asked.prompt.token_ids[max(0, first.start - _OPENING) : first.start])
        return FoundCause(
            volatile_cause(opening) or MissCause.ROLE_OR_TEMPLATE,
            first.document,
            common=self._framed(first.document, comparable(asked.prompt)),
        )

    def _framed(self, ref: DocumentRef, ids: tuple[int, ...]) -> int | None:
        """Return the tokens that a prompt has in common with a published framing of a document, at most."""
        known = self._library.find(ref)
        if known is None:
            return None
        return max((common_prefix(prefix.token_ids, ids) for prefix in known.prefixes), default=None)


_VAGUE = (None, MissCause.UNKNOWN, MissCause.NO_DOCUMENT, MissCause.TOO_SHORT)


def beside(near: NearDocument) -> FoundCause:
    """Return a near document as the cause."""
    return FoundCause(near.cause, near.document, place=near.message, difference=near.difference)


def comparable(prompt: Prompt) -> tuple[int, ...]:
    """Return the token ids that may be compared: all, or those in front of a document that the reader may not see."""
    if not prompt.confined:
        return prompt.token_ids
    return prompt.token_ids[: min((span.start for span in prompt.documents), default=0)]


def prompt_cause(
    difference: TextDifference, ours: RequestOutline, theirs: RequestOutline, common: int, rest: int
) -> MissCause | None:
    """Return the cause of the first difference of two prompts with ``common`` tokens in common; None where only their
    last messages differ, behind a page of common tokens.

    ``rest``: the tokens of ours behind it. A pure function.
    Example: ``prompt_cause(difference, outline, near.request.outline, near.common, len(ids) - near.common)``
    """
    if difference.none:
        return MissCause.BOUNDARY_MERGE
    place = changed_place(ours, theirs)
    # Another question behind the same beginning is no fault: there was only little to share.
    if _is_last(place, ours, theirs) and rest < PAGE_TOKENS:
        return MissCause.TOO_SHORT if common < PAGE_TOKENS else None
    cause = cause_of(difference)
    if cause is not MissCause.UNKNOWN:
        return cause
    if roles_changed(ours, theirs) or (place in (None, "template") and ours.messages):
        return MissCause.ROLE_OR_TEMPLATE
    return MissCause.UNKNOWN if common >= SIMILAR else MissCause.NO_DOCUMENT


def _like_json(difference: TextDifference) -> bool:
    around = difference.before[-400:] + difference.sent[:80]
    return '"' in around and ("{" in around or "[" in around)


def _is_last(place: Place | None, ours: RequestOutline, theirs: RequestOutline) -> bool:
    if not isinstance(place, int):
        return False
    for outline in (ours, theirs):
        if place < len(outline.messages) and outline.messages[place][0] == "system":
            return False
    return place >= min(len(ours.messages), len(theirs.messages)) - 1
