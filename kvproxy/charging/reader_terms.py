"""`ReaderTerms`: the terms that price a document for the reader of one prompt: its grant's, else the publisher's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from kvproxy.charging.charging_parts import GrantLookup, TermsLookup
from kvproxy.core import Span
from kvproxy.errors import NotFound
from kvproxy.tariffs import FREE, DocumentTerms


class ReaderTerms:
    """Lookups in memory, after ``learn`` has read what is not in memory yet."""

    def __init__(self, terms: TermsLookup, grants: GrantLookup | None = None) -> None:
        self._terms = terms
        self._grants = grants

    def of(self, span: Span) -> DocumentTerms:
        """Return the terms of a document in a prompt. May ask the database: call it on a thread."""
        granted = self._granted(span)
        if granted is not None and self._terms.known(granted) is None:
            self._terms.by_id(granted)
        return self.now(span)

    def now(self, span: Span) -> DocumentTerms:
        """Return the terms of a document in a prompt, from memory. Nobody is paid where the publisher is gone."""
        if not span.publisher:
            return FREE
        granted = self._granted(span)
        found = None if granted is None else self._terms.known(granted)
        return self._terms.terms(span.document.id, span.publisher) if found is None else found

    def known(self, terms_id: str) -> DocumentTerms | None:
        """Return terms by their id, from memory."""
        return self._terms.known(terms_id)

    async def learn(self, spans: Iterable[Span], more: Iterable[str] = ()) -> None:
        """Read the terms of grants, and of the ids ``more``, that were recorded before this process began."""
        wanted = {*more, *(granted for span in spans if (granted := self._granted(span)) is not None)}
        for id in wanted:
            if self._terms.known(id) is None:
                await asyncio.to_thread(self._terms.by_id, id)

    def _granted(self, span: Span) -> str | None:
        if span.grant is None or self._grants is None:
            return None
        try:
            return self._grants.get(span.grant).terms
        except (
            NotFound
        ):  # revoked since the prompt was composed: the reader is in, at the document's own terms
            return None
