"""Is a hit the same as a prefill from scratch? Measured for a document, under each framing it is kept in."""

from __future__ import annotations

import math

from kvproxy.backends.base import Comparison, LocalBackend
from kvproxy.core import Caller, ChatRequest, DocumentPart, DocumentRef, Message, TextPart, TextRequest
from kvproxy.documents.compose import Composer
from kvproxy.documents.document import Framing
from kvproxy.documents.info import Verification
from kvproxy.documents.library import Library
from kvproxy.errors import ContextTooLong, HitLost
from kvproxy.pipeline import Request

NEW_TOKENS = 24
"""As many greedy tokens as the paper compares (arXiv 2606.13361)."""

QUESTION = "In one paragraph, what is this text about, whom does it concern, and what does it ask of them?"


class Verifier:
    def __init__(self, composer: Composer, library: Library, local: LocalBackend, model: str) -> None:
        self._composer = composer
        self._library = library
        self._local = local
        self._model = model

    async def verify(self, ref: DocumentRef, caller: Caller) -> list[Verification]:
        """One verification per framing. Takes about two cold prefills each. Raises DocumentNotFound."""
        found = self._library.resolve(ref, caller).document.ref
        return [await self._one(found, framing, caller) for framing in self._composer.framings]

    async def _one(self, ref: DocumentRef, framing: Framing, caller: Caller) -> Verification:
        prompt = self._composer.compose(self._request(ref, framing, caller), caller)
        room = self._local.info.max_context - len(prompt.token_ids) - 1
        if room < 1:
            raise ContextTooLong(
                limit=self._local.info.max_context,
                prompt_tokens=len(prompt.token_ids),
                completion_tokens=NEW_TOKENS,
            )
        try:
            comparison = await self._local.compare(prompt, caller, min(NEW_TOKENS, room))
        except HitLost as e:
            return Verification(str(ref), framing.name, exact=False, note=e.message)
        return _judge(ref, framing, comparison)

    def _request(self, ref: DocumentRef, framing: Framing, caller: Caller) -> Request:
        if framing.place == "text":
            # A text prompt has no references: its documents are known by their text.
            text = self._library.resolve(ref, caller).document.text
            return TextRequest(self._model, f"{text}\n{QUESTION}")
        return ChatRequest(self._model, messages_for(framing, ref, QUESTION))


def messages_for(framing: Framing, ref: DocumentRef, question: str) -> tuple[Message, ...]:
    """A conversation in which the document stands as a framing of messages has it."""
    document, ask = DocumentPart(ref), TextPart(question)
    if framing.place == "system":
        return (Message("system", (document,)), Message("user", (ask,)))
    user = Message("user", (document, ask))
    if framing.system is None:
        return (user,)
    return (Message("system", (TextPart(framing.system),)), user)


def _judge(ref: DocumentRef, framing: Framing, c: Comparison) -> Verification:
    exact = (
        c.largest_difference == 0.0 and c.equal_argmax == c.positions and c.equal_greedy == c.greedy_tokens
    )
    return Verification(
        document=str(ref),
        framing=framing.name,
        exact=exact,
        note="",
        cached_tokens=c.cached_tokens,
        positions=c.positions,
        equal_argmax=c.equal_argmax,
        largest_difference=c.largest_difference if math.isfinite(c.largest_difference) else None,
        greedy_tokens=c.greedy_tokens,
        equal_greedy=c.equal_greedy,
    )
