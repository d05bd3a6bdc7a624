"""Pages of a granted document on the engine itself: a reader who was let in hits with a prefill's bits, others miss."""

from __future__ import annotations

import pytest

from kvproxy.backends.base import NoPages, PagesFound
from kvproxy.core import Caller, DocumentRef, Prompt, Span, documents_scope, granted_scope, stored_key
from kvproxy.errors import HitLost
from tests.backends.embedded.backend_home import (
    ANN,
    ASKED,
    BOB,
    DOCUMENT,
    Home,
    cached_of,
    events_of,
    found,
    generation,
    home,
    model,
    text_of,
    vocabulary,
)
from tests.engine.tiny import prompt

__all__ = ["home", "model", "vocabulary"]

SCOPE = granted_scope("handbook", 1, ANN.scope)
OTHER = granted_scope("handbook", 2, ANN.scope)
SPAN = Span(DocumentRef("handbook", 1, "granted"), 3, 600, scope=SCOPE, publisher="ann", grant="g")
READER = BOB.reading([SPAN.scope])


async def test_a_hit_of_a_granted_reader_is_a_miss_to_the_bit(home: Home) -> None:
    cold = await events_of(home.backend, generation(caller=Caller("cold", "tenant:cold")))
    await home.backend.keep(DOCUMENT, SCOPE, owner=ANN.scope)
    hit = await events_of(home.backend, generation(caller=READER, spans=(SPAN,), require_cached=600))
    assert (cached_of(cold), cached_of(hit)) == (0, 600) and text_of(hit) == text_of(cold) != ""
    compared = await home.backend.compare(Prompt(ASKED, (SPAN,)), BOB.reading([SCOPE]), 12)
    assert compared.exact and compared.cached_tokens >= 600 and compared.equal_pages == compared.pages == 3


async def test_its_pages_are_out_of_reach_without_the_grant(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, SCOPE, owner=ANN.scope)
    for stranger in (BOB, ANN, BOB.reading([OTHER]), BOB.reading([documents_scope(ANN.scope), None])):
        assert found(home.backend, ASKED, stranger) == NoPages(evicted=False)
        assert home.backend.resident(kept, stranger) == 0
    assert home.backend.resident(kept, READER) == 600
    with pytest.raises(HitLost):
        await home.backend.compare(Prompt(ASKED), BOB, 4)


async def test_a_grant_opens_neither_private_nor_other_granted_pages(home: Home) -> None:
    private, other = prompt(5, 600), prompt(6, 600)
    await home.backend.keep(private, documents_scope(ANN.scope), owner=ANN.scope)
    await home.backend.keep(other, OTHER, owner=ANN.scope)
    for tokens in (private, other):
        assert found(home.backend, (*tokens, 1), READER) == NoPages(evicted=False)
        assert cached_of(await events_of(home.backend, generation((*tokens, 1), READER))) == 0


async def test_it_is_found_after_a_restart_and_counts_for_its_publisher(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, SCOPE, owner=ANN.scope)
    assert all(home.store.has(stored_key(page.key, SCOPE)) for page in kept.pages)
    warm = await events_of(home.backend, generation(caller=READER, spans=(SPAN,)))
    await home.restart()
    assert await home.backend.known(kept, SCOPE) == 600
    assert found(home.backend, ASKED, READER) == PagesFound(tokens=600, on_disk=600)
    again = await events_of(home.backend, generation(caller=READER, spans=(SPAN,), require_cached=600))
    assert text_of(again) == text_of(warm)
    await home.backend.forget(kept, SCOPE, frozenset())
    assert home.store.usage().pages == 0
    assert found(home.backend, ASKED, Caller("c", "tenant:c").reading([SCOPE])) == NoPages(evicted=True)


async def test_a_readers_miss_restores_the_pages_for_all_who_were_let_in(home: Home) -> None:
    await events_of(home.backend, generation(caller=READER, spans=(SPAN,)))
    second = Caller("c", "tenant:c")
    assert found(home.backend, ASKED, second.reading([SCOPE])) == PagesFound(512, 0)
    assert found(home.backend, ASKED, second) == NoPages(evicted=False)
