"""`Verifier`: compares hits on a document with prefills from scratch, under each framing that is kept.

An engine of this process is compared to the bit, and a difference puts the document in quarantine. Of a fleet the
agreement of two answers is reported, and nothing follows from it: see docs/decisions/0022-a-fleet-is-not-exact.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from kvproxy.backends.base import Comparison, FleetComparison, LocalBackend
from kvproxy.core import Caller, ChatRequest, DocumentPart, DocumentRef, Message, Part, TextPart, TextRequest
from kvproxy.core.report_progress import ReportProgress
from kvproxy.documents.library.document import FramedPrefix, Framing
from kvproxy.documents.library.document_info import GREEDY_TOKENS, Verification
from kvproxy.documents.library.known_document import KnownDocument, SpelledText
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.spelling import PUBLISHED
from kvproxy.documents.prompts.compose import Composer
from kvproxy.errors import ContextTooLong, HitLost
from kvproxy.exactness.quarantine import Quarantine
from kvproxy.pipeline import Request
from kvproxy.runtime.request_context import traced_work

QUESTION = "In one paragraph, what is this text about, whom does it concern, and what does it ask of them?"


class Verifier:
    """Compares hits with prefills, document by document. Event loop only."""

    def __init__(
        self,
        composer: Composer,
        library: Library,
        local: LocalBackend,
        model: str,
        quarantine: Quarantine | None = None,
    ) -> None:
        """Take the document's parts. ``quarantine`` receives the versions with different pages, and releases exact
        ones; a fleet's answers neither confine nor release any."""
        self._composer = composer
        self._library = library
        self._local = local
        self._model = model
        self._quarantine = quarantine

    async def verify(
        self,
        ref: DocumentRef,
        caller: Caller,
        new_tokens: int = GREEDY_TOKENS,
        progress: ReportProgress | None = None,
    ) -> list[Verification]:
        """Verify every framing and spelling of a version; each takes about two cold prefills.

        ``progress(done, total)`` counts tokens over all of them, as far as their sizes are known. A version in
        quarantine is prefilled again first, and is released when all of it is exact. Raises DocumentNotFound,
        ContextTooLong, CannotFit, Overloaded.

        Example:
            ``found = await verifier.verify(DocumentRef("handbook"), caller, new_tokens=24)``
        """
        known = self._library.resolve(ref, caller)
        found = known.document.ref
        quarantine = None if self._local.info.fleet else self._quarantine
        if known.quarantined is not None and quarantine is not None:
            with traced_work("recompute"):
                await quarantine.recompute(found)
        cases = list(self._cases(known))
        counted = _VerifyProgress(progress, len(cases))
        done = []
        for case in cases:
            done.append(await self._one(found, case, caller, new_tokens, counted))
        if quarantine is not None:
            await self._apply(quarantine, found, done, was_confined=known.quarantined is not None)
        return done

    async def _apply(
        self, quarantine: Quarantine, ref: DocumentRef, done: list[Verification], *, was_confined: bool
    ) -> None:
        different = [v for v in done if v.first_difference is not None]
        if was_confined:
            await quarantine.end_check(ref, exact=bool(done) and all(v.exact for v in done))
        elif different and self._local.info.exact:
            notes: dict[DocumentRef, str] = {}
            for v in different:
                assert v.first_difference is not None
                at = v.first_difference
                note = f"under framing {v.framing} its pages differ from a prefill from position {at} on"
                for owner in quarantine.owners_at(ref, v.framing, at):
                    notes.setdefault(owner, note)
            await quarantine.confine(notes)

    def _cases(self, known: KnownDocument) -> Iterator[_Case]:
        """Yield the text as published under every framing, and each other spelling that has pages of its own."""
        for framing in self._composer.framings:
            yield _Case(framing)
        kept = {prefix.name for prefix in known.prefixes}
        for spelled in known.others:
            cases = (_Case(framing, spelled) for framing in self._composer.framings)
            yield from (case for case in cases if case.name in kept)

    async def _one(
        self, ref: DocumentRef, case: _Case, caller: Caller, new_tokens: int, counted: _VerifyProgress
    ) -> Verification:
        with traced_work("compose", case.name) as work:
            prompt = await self._composer.compose_async(self._request(ref, case, caller), caller)
            work.tokens = len(prompt.token_ids)
        room = self._local.info.max_context - len(prompt.token_ids) - 1
        if room < 1:
            raise ContextTooLong(
                limit=self._local.info.max_context,
                prompt_tokens=len(prompt.token_ids),
                completion_tokens=new_tokens,
            )
        try:
            reader = caller.reading(span.scope for span in prompt.documents)
            with traced_work("prove", case.name) as work:
                comparison = await self._local.compare(prompt, reader, min(new_tokens, room), counted.begin())
                work.tokens = len(prompt.token_ids)
        except HitLost as e:
            return Verification(str(ref), case.name, exact=False, note=e.message)
        if isinstance(comparison, FleetComparison):
            return _judge_agreement(ref, case, comparison)
        return _judge(ref, case, comparison)

    def _request(self, ref: DocumentRef, case: _Case, caller: Caller) -> Request:
        """Make the request of a case: a reference stands for the text as published; another spelling is given as
        text."""
        if case.framing.place == "text":
            text = case.spelled.text if case.spelled else self._library.resolve(ref, caller).document.text
            return TextRequest(self._model, f"{text}\n{QUESTION}")
        document = TextPart(case.spelled.text) if case.spelled else DocumentPart(ref)
        return ChatRequest(self._model, messages_for(case.framing, document, QUESTION))


@dataclass(frozen=True, slots=True)
class _Case:
    """One comparison: a framing and a spelling."""

    framing: Framing
    spelled: SpelledText | None = None
    """None stands for the text as published."""

    @property
    def name(self) -> str:
        """The name of its kept prefix, as :attr:`FramedPrefix.name`."""
        return FramedPrefix(self.framing.name, (), self.spelled.name if self.spelled else PUBLISHED).name


def messages_for(framing: Framing, document: Part, question: str) -> tuple[Message, ...]:
    """Return a conversation in which the document stands as ``framing`` has it.

    Example:
        ``messages_for(Framing("system"), DocumentPart(ref), "Who signs?")``
    """
    ask = TextPart(question)
    if framing.place == "system":
        return (Message("system", (document,)), Message("user", (ask,)))
    user = Message("user", (document, ask))
    if framing.system is None:
        return (user,)
    return (Message("system", (TextPart(framing.system),)), user)


class _VerifyProgress:
    """Adds up progress over framings of about the same size."""

    def __init__(self, progress: ReportProgress | None, framings: int) -> None:
        self._progress = progress
        self._framings = framings
        self._begun = 0

    def begin(self) -> ReportProgress | None:
        """Return the progress callback of the next framing's comparison."""
        before, self._begun = self._begun, self._begun + 1
        if self._progress is None:
            return None
        return lambda done, total: self._tell(before * total + done, self._framings * total)

    def _tell(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(done, total)


def _judge_agreement(ref: DocumentRef, case: _Case, c: FleetComparison) -> Verification:
    """Report a fleet's agreement: never exact, since a replica's blocks and logits cannot be compared."""
    return Verification(
        document=str(ref),
        framing=case.name,
        exact=False,
        note="" if c.counts else uncounted(c),
        cached_tokens=c.cached_tokens,
        largest_difference=_finite(c.largest_difference),
        greedy_tokens=c.tokens,
        equal_greedy=c.equal_tokens,
        agreement=c,
    )


def uncounted(c: FleetComparison) -> str:
    """Return the reason that two answers say nothing about cached blocks."""
    if c.cached_tokens == 0:
        return "the replica read no cached block for the first answer, so that both were computed"
    return f"the replica read {c.cold_cached_tokens} cached positions for the answer that was to be computed"


def _judge(ref: DocumentRef, case: _Case, c: Comparison) -> Verification:
    return Verification(
        document=str(ref),
        framing=case.name,
        exact=c.exact,
        note="",
        cached_tokens=c.cached_tokens,
        pages=c.pages,
        equal_pages=c.equal_pages,
        positions=c.positions,
        equal_positions=c.equal_positions,
        equal_argmax=c.equal_argmax,
        largest_difference=_finite(c.largest_difference),
        greedy_tokens=c.greedy_tokens,
        equal_greedy=c.equal_greedy,
        first_difference=c.first_difference,
    )


def _finite(difference: float) -> float | None:
    return difference if math.isfinite(difference) else None
