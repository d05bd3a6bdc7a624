"""`LearnedTexts`: keeps learned texts as private documents of their tenant, within bounds, and hands them over."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from kvproxy.core import Caller, ChatRequest, DocumentRef, Prompt, TextRequest, Visibility
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.document_info import Published
from kvproxy.documents.library.library import Library
from kvproxy.errors import DocumentNotFound, KVProxyError
from kvproxy.learning.opening_text import LEARNED, opening_text
from kvproxy.learning.text_learner import LearnableText, Opening, TextLearner
from kvproxy.publish import Publisher
from kvproxy.publishing.document_reads import DocumentReads

logger = logging.getLogger(__name__)

WAITING = 64
"""Openings that may wait to be counted; further ones are left out, as nothing depends on any of them."""
WAITING_CHARACTERS = 32 * 2**20
SWEEP_S = 600.0
"""Seconds between two looks for learned documents that nobody reads any more."""


@dataclass(frozen=True, slots=True)
class LearningPolicy:
    """The bounds of what is kept."""

    most_documents: int = 16
    """Of one tenant; the one read longest ago gives way."""
    ttl_s: float = 7 * 86400.0
    """Seconds without a reader."""


class LearnedTexts:
    """The learned documents. Event loop only; counting runs on a thread, and publishing waits its turn as the tenant's.

    Example:
        ``learned.note(request, prompt, caller)`` with each request, while ``learned.run()`` runs in the background.
    """

    def __init__(
        self,
        publisher: Publisher,
        learner: TextLearner,
        reads: DocumentReads,
        policy: LearningPolicy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._publisher = publisher
        self._library: Library = publisher.library
        self._learner = learner
        self._reads = reads
        self._policy = policy or LearningPolicy()
        self._clock = clock
        self._waiting: asyncio.Queue[tuple[str, Prompt, Caller]] = asyncio.Queue(WAITING)
        self._characters = 0
        self._busy = False

    @property
    def idle(self) -> bool:
        """True when every opening that was taken has been counted, and what was learned is kept."""
        return self._waiting.empty() and not self._busy

    def note(self, request: ChatRequest | TextRequest, prompt: Prompt, caller: Caller) -> None:
        """Take a request's opening to be counted later, on a thread. Costs no more than a look at its messages.

        Example:
            ``learned.note(chat, prompt, caller)``
        """
        if caller.salted(request.cache).salt is not None or not caller.retains(request.cache):
            return
        text = opening_text(request, prompt)
        if text is None or self._characters + len(text) > WAITING_CHARACTERS:
            return
        with suppress(asyncio.QueueFull):
            self._waiting.put_nowait((text, prompt, caller))
            self._characters += len(text)

    async def run(self) -> None:
        """Count openings and keep what is learned, until cancelled."""
        swept = self._clock()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    waiting = await self._waiting.get()
                self._busy = True
                try:
                    await self._count(*waiting)
                finally:
                    self._busy = False
            if self._clock() - swept >= SWEEP_S:
                swept = self._clock()
                await self.sweep()

    async def sweep(self) -> None:
        """Drop learned documents that nobody has read for ``ttl_s``."""
        now = self._clock()
        for document in [known.document for known in self._library.learned()]:
            if now - self._last_use(document) > self._policy.ttl_s:
                await self._drop(document)

    async def delete(self, ref: DocumentRef, caller: Caller) -> None:
        """Delete a learned document on its owner's word: it is not learned again. Raises DocumentNotFound."""
        text = await self._publisher.text(ref, caller)
        await self._publisher.delete(ref, caller)
        await asyncio.to_thread(self._learner.refuse, caller.scope, text)

    async def promote(
        self, ref: DocumentRef, id: str, visibility: Visibility | None, caller: Caller
    ) -> Published:
        """Publish a learned document under an id of its own, in the place of the learned one.

        Raises DocumentNotFound for one that was not learned, and as ``Publisher.publish`` does; the learned one stays
        then.

        Example:
            ``await learned.promote(DocumentRef("learned/0f3a…"), "handbook", "public", caller)``
        """
        known = self._library.resolve(ref, caller)
        if known.document.origin != "learned":
            raise DocumentNotFound(str(ref))
        published = await self._publisher.publish(id, known.document.text, visibility, caller)
        with suppress(DocumentNotFound):  # it gave way meanwhile
            await self._publisher.delete(DocumentRef(known.document.id), caller)
        return published

    async def _count(self, text: str, prompt: Prompt, caller: Caller) -> None:
        self._characters -= len(text)
        known = self._learned_front(prompt)

        def count() -> LearnableText | None:
            digest = hashlib.sha256(array("I", prompt.token_ids).tobytes()).digest()
            return self._learner.note(Opening(caller.scope, text, digest, known))

        found = await asyncio.to_thread(count)
        if found is None:
            return
        try:
            await self._keep(found, caller)
        except KVProxyError as e:
            logger.info("a text of %d characters is not kept now: %s", len(found.text), e.message)

    def _learned_front(self, prompt: Prompt) -> int:
        """Return the characters of the learned document that the prompt begins with; 0 without one."""
        for span in prompt.documents[:1]:
            if span.document.id.startswith(LEARNED):
                known = self._library.find(span.document)
                return len(known.tokenized.core) if known is not None else 0
        return 0

    async def _keep(self, found: LearnableText, caller: Caller) -> None:
        own = sorted((known.document for known in self._library.learned(caller.scope)), key=self._worth)
        for document in own[: max(0, len(own) - self._policy.most_documents + 1)]:
            if document.id != found.id:
                await self._drop(document)
        published = await self._publisher.publish(found.id, found.text, "private", caller, origin="learned")
        if published.created:
            logger.info("%s was learned: %d tokens", found.id, published.info.tokens)

    def _worth(self, document: Document) -> tuple[int, int]:
        """Return the sort key by which documents give way; of those used in one second the one with fewer reads."""
        return self._last_use(document), self._reads.of(document.ref).reads

    def _last_use(self, document: Document) -> int:
        return max(document.created, self._reads.of(document.ref).last_read)

    async def _drop(self, document: Document) -> None:
        try:
            await self._publisher.delete(
                DocumentRef(document.id, document.version), Caller("", document.owner_scope)
            )
        except KVProxyError as e:
            logger.info("%s is not dropped now: %s", document.id, e.message)
