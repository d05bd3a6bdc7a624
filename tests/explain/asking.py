"""`Asker`: prompts of a small model's composer, with decisions as the pipeline would make them, for an explainer."""

from __future__ import annotations

from pathlib import Path

from kvproxy.core import (
    Caller,
    ChatRequest,
    Decision,
    DocumentRef,
    Hit,
    Miss,
    MissCause,
    MissReason,
    Prompt,
    TextRequest,
)
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.explain.miss_explainer import AskedPrompt, FoundCause, MissExplainer
from kvproxy.explain.miss_report import MissReport, MissReporter, Question
from kvproxy.explain.previous_requests import PreviousRequests
from tests.documents.conversation import FRAMINGS
from tests.documents.library.granted_rights import PlannedRights


class Asker:
    """An explainer with its library and its memory of requests."""

    def __init__(self, folder: Path) -> None:
        self.rights = PlannedRights()
        self.library = Library(self.rights)
        self.composer = Composer(Tokenizer.load(folder), ChatTemplate.load(folder), self.library, FRAMINGS)
        self.previous = PreviousRequests(ttl_s=3600, max_requests=16, max_memory=2**22)
        self.explainer = MissExplainer(self.library, self.composer.decode, self.previous)
        self.reporter = MissReporter(self.explainer, self.library, self.composer.encode, self.composer.decode)

    def asked(
        self, request: ChatRequest | TextRequest, caller: Caller, decision: Decision | None = None
    ) -> AskedPrompt:
        prompt = self.composer.compose(request, caller)
        reader = caller.salted(request.cache).reading(span.scope for span in prompt.documents)
        return AskedPrompt(request, prompt, reader, decision or decided(prompt))

    def sent(self, request: ChatRequest | TextRequest, caller: Caller, id: str = "before") -> None:
        """Serve a request: it is kept."""
        self.explainer.remember(self.asked(request, caller), id)

    def found(self, request: ChatRequest | TextRequest, caller: Caller) -> FoundCause:
        return self.explainer.found(self.asked(request, caller))

    def cause(self, request: ChatRequest | TextRequest, caller: Caller) -> MissCause | None:
        return self.explainer.cause(self.asked(request, caller))

    def report(
        self,
        request: ChatRequest | TextRequest,
        caller: Caller,
        *,
        against: str | None = None,
        previous: bool = False,
        decision: Decision | None = None,
    ) -> MissReport:
        ref = None if against is None else DocumentRef(against)
        return self.reporter.report(self.asked(request, caller, decision), Question(ref, previous))


def decided(prompt: Prompt) -> Decision:
    """Decide as where exactly the published framings are kept."""
    if not prompt.documents:
        return Miss(MissReason.NO_DOCUMENT)
    first = prompt.documents[0]
    if first.scope is not None:
        return Hit(first.end, first.document)
    return Miss(MissReason.NEW_PREAMBLE, first.document)
