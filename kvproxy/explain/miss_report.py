"""`MissReport`: one prompt beside a named document or an earlier request, with the first differing token and text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kvproxy.core import Caller, ChatRequest, Decision, DocumentRef, Hit, Miss, MissCause, TextPart
from kvproxy.core.common_prefix import common_prefix
from kvproxy.documents.library.known_document import DocumentMatch
from kvproxy.documents.library.library import Library
from kvproxy.errors import PermissionDenied
from kvproxy.explain.difference_cause import cause_of, volatile_cause
from kvproxy.explain.kept_difference import KeptDifference, Remembered, kept_difference
from kvproxy.explain.miss_explainer import AskedPrompt, FoundCause, MissExplainer, comparable
from kvproxy.explain.nearest_document import front_texts
from kvproxy.explain.text_difference import TextDifference, first_difference
from kvproxy.explain.token_difference import WHOLE, Decode, token_difference

Encode = Callable[[str], Sequence[int]]

_AHEAD = 48
"""Characters behind a difference that are encoded to find the first differing token."""


@dataclass(frozen=True, slots=True)
class DifferingToken:
    """The first token that differs, in both texts; None where one of them has ended."""

    index: int
    sent: int | None
    other: int | None


@dataclass(frozen=True, slots=True)
class MissReport:
    """One explained prompt."""

    asked: AskedPrompt
    found: FoundCause
    token: DifferingToken | None
    counted: Literal["message", "prompt", "text"]
    """The text from whose beginning the difference's character is counted: a message, the whole prompt as the model
    sees it, or the text that was compared with a document."""


@dataclass(frozen=True, slots=True)
class Question:
    """The other side that is asked for: a document, the earlier requests alone, or the nearest of both."""

    against: DocumentRef | None = None
    previous: bool = False


class MissReporter:
    """Writes reports. Safe in any thread; a report costs some milliseconds, more for long documents."""

    def __init__(self, explainer: MissExplainer, library: Library, encode: Encode, decode: Decode) -> None:
        """``encode`` turns text into token ids, without a chat template; ``decode`` turns them back.

        Example: ``MissReporter(explainer, library, composer.encode, composer.decode)``
        """
        self.explainer = explainer
        self._library = library
        self._encode, self._decode = encode, decode

    @property
    def keeps_requests(self) -> bool:
        """Whether earlier requests are kept, to be compared with."""
        return self.explainer.previous is not None

    def kept(self, caller: Caller, id: str) -> KeptDifference | Remembered | None:
        """Return the first difference of a request of the caller's own that is still remembered, from the nearest one
        before it; None where it is not remembered, or another's. Some milliseconds: for a thread.

        Example: ``reporter.kept(caller, "chatcmpl-1")``
        """
        previous = self.explainer.previous
        return None if previous is None else kept_difference(previous, self._decode, caller.cache_scope, id)

    def report(self, asked: AskedPrompt, question: Question) -> MissReport:
        """Compare the prompt. Raises DocumentNotFound, and PermissionDenied for a document that the caller may read
        and has not got the text of.

        Example: ``reporter.report(asked, Question(previous=True))``
        """
        if question.against is not None:
            return self._against(asked, question.against)
        found = self._found(asked, previous=question.previous)
        return self._located(asked, found)

    def _found(self, asked: AskedPrompt, *, previous: bool) -> FoundCause:
        beside = self.explainer.beside_request(asked, other=True, window=WHOLE)
        if previous:
            return beside or FoundCause(MissCause.NO_DOCUMENT if isinstance(asked.decision, Miss) else None)
        if isinstance(asked.decision, Hit):
            return beside or FoundCause(None)
        found = self.explainer.found(asked)
        if found.document is not None or beside is None:
            return found
        # The same request, sent before, was the nearest of all and shows nothing: another one does.
        return replace(beside, cause=found.cause if beside.cause is None else beside.cause)

    def _against(self, asked: AskedPrompt, ref: DocumentRef) -> MissReport:
        match = self._library.named(ref, asked.caller, param="against")
        if match.confined:
            raise PermissionDenied(
                f"'{ref}' is read by a grant: its text, with which this prompt would be compared, only its publisher "
                "can fetch.",
                param="against",
            )
        named = match.known.document.ref
        span = next((s for s in asked.prompt.documents if s.document == named), None)
        if span is not None:
            return self._framed(asked, match)
        texts = front_texts(asked.request)
        if not texts:
            return MissReport(asked, FoundCause(MissCause.NO_DOCUMENT, named), None, "text")
        core = match.tokenized.core
        front = max(texts, key=lambda t: (core[:_AHEAD] in t.text, common_prefix(t.text.lstrip(), core)))
        at = max(0, front.text.find(core[:_AHEAD]))
        if front.text[:at].strip():
            cause: MissCause | None = volatile_cause(front.text[:at]) or MissCause.ROLE_OR_TEMPLATE
            difference = first_difference(front.text, core)
        else:
            difference = first_difference(front.text.lstrip(), core, after=WHOLE.after)
            cause = _document_cause(difference, len(core), asked.decision)
        found = FoundCause(cause, named, place=front.message, difference=difference)
        return self._located(asked, found)

    def _framed(self, asked: AskedPrompt, match: DocumentMatch) -> MissReport:
        """Compare the whole prompt with the published framing that begins most like it."""
        ids, named = comparable(asked.prompt), match.known.document.ref
        framings = [prefix.token_ids for prefix in match.known.prefixes]
        nearest = max(framings, key=lambda kept: common_prefix(kept, ids), default=())
        common = common_prefix(nearest, ids)
        if common == len(nearest):
            return MissReport(asked, FoundCause(None, named, common=common), None, "prompt")
        difference = token_difference(ids, nearest, common, self._decode, WHOLE)
        found = FoundCause(self.explainer.found(asked).cause, named, common=common, difference=difference)
        return MissReport(asked, found, _token(common, ids, nearest), "prompt")

    def _located(self, asked: AskedPrompt, found: FoundCause) -> MissReport:
        difference = found.difference
        if difference is None:
            return MissReport(asked, found, None, "prompt")
        if found.request is None:
            before = self._encode(difference.before + difference.sent[:_AHEAD])
            other = self._encode(difference.before + difference.other[:_AHEAD])
            token = _token(common_prefix(list(before), list(other)), before, other)
            return MissReport(asked, found, token, "text")
        common = found.common or 0
        token = _token(common, comparable(asked.prompt), found.request.token_ids)
        at = _in_message(asked, found)
        if at is None:
            return MissReport(asked, found, token, "prompt")
        return MissReport(
            asked, replace(found, difference=replace(difference, position=at)), token, "message"
        )


def _document_cause(difference: TextDifference, length: int, decision: Decision) -> MissCause | None:
    """Return the cause of the first difference from a document of ``length`` characters."""
    if difference.position == length:
        return MissCause.BOUNDARY_MERGE if isinstance(decision, Miss) else None
    cause = cause_of(difference)
    if cause in (MissCause.UNKNOWN, MissCause.COUNTER):
        return MissCause.OTHER_VERSION if difference.position >= _AHEAD else MissCause.NO_DOCUMENT
    return cause


def _token(index: int, sent: Sequence[int], other: Sequence[int]) -> DifferingToken:
    return DifferingToken(
        index,
        sent[index] if index < len(sent) else None,
        other[index] if index < len(other) else None,
    )


def _in_message(asked: AskedPrompt, found: FoundCause) -> int | None:
    """Return the difference's place in its message's text, where that stands in the prompt as it was sent."""
    request, difference = asked.request, found.difference
    if not isinstance(request, ChatRequest) or not isinstance(found.place, int) or difference is None:
        return None
    if found.place >= len(request.messages):
        return None
    parts = request.messages[found.place].content
    text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
    for size in (_AHEAD, _AHEAD // 4, 0):
        before = difference.before[len(difference.before) - size :] if size else ""
        at = text.find(before + difference.sent[:_AHEAD])
        if at >= 0:
            return at + len(before)
    return None
