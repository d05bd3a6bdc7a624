"""A document's next version: only what follows its first changed token is computed, in every scope."""

from __future__ import annotations

from kvproxy.core import PAGE_TOKENS, PUBLIC, Caller, PagesFound, documents_scope, granted_scope, stored_key
from tests.backends.embedded.backend_home import ANN, Home, found, home, model, vocabulary
from tests.engine.tiny import prompt

__all__ = ["home", "model", "vocabulary"]

OLD = prompt(7, 3 * PAGE_TOKENS + 50)
NEW = (*OLD[: 2 * PAGE_TOKENS + 10], *prompt(8, PAGE_TOKENS))
V1, V2 = granted_scope("handbook", 1, ANN.scope), granted_scope("handbook", 2, ANN.scope)


async def test_versions_of_one_scope_share_their_beginning(home: Home) -> None:
    for scope in (PUBLIC, documents_scope(ANN.scope)):
        await home.backend.keep(OLD, scope)
        kept = await home.backend.keep(NEW, scope)
        assert kept.computed == len(NEW) - (2 * PAGE_TOKENS + 10)


async def test_a_granted_version_copies_the_pages_of_the_one_before_it(home: Home) -> None:
    first = await home.backend.keep(OLD, V1, owner=ANN.scope)
    second = await home.backend.keep(NEW, V2, None, ANN.scope, (V1,))
    assert first.computed == len(OLD) and second.computed == len(NEW) - (2 * PAGE_TOKENS + 10)
    assert [p.key for p in second.pages[:2]] == [p.key for p in first.pages[:2]]
    assert all(home.store.has(stored_key(p.key, V2)) for p in second.pages), "files of its own"
    # Each is there for those who may read it, and for nobody else.
    for scope, tokens in ((V1, OLD), (V2, NEW)):
        reader = Caller("bob", "tenant:b", granted=(scope,))
        lookup = found(home.backend, (*tokens, 1), reader)
        assert isinstance(lookup, PagesFound) and lookup.tokens == len(tokens)
    assert not isinstance(found(home.backend, (*NEW, 1), Caller("bob", "tenant:b")), PagesFound)


async def test_a_copied_page_outlives_the_version_that_it_was_copied_from(home: Home) -> None:
    first = await home.backend.keep(OLD, V1, owner=ANN.scope)
    second = await home.backend.keep(NEW, V2, None, ANN.scope, (V1,))
    await home.backend.forget(first, V1, frozenset())
    reader = Caller("bob", "tenant:b", granted=(V2,))
    lookup = found(home.backend, (*NEW, 1), reader)
    assert isinstance(lookup, PagesFound) and lookup.tokens == len(NEW)
    await home.restart()
    assert await home.backend.known(second, V2) == len(NEW)
    lookup = found(home.backend, (*NEW, 1), reader)
    assert isinstance(lookup, PagesFound) and lookup.on_disk == len(NEW)


async def test_an_unchanged_text_and_a_cut_one_compute_nothing(home: Home) -> None:
    await home.backend.keep(OLD, V1, owner=ANN.scope)
    for tokens in (OLD, OLD[: 2 * PAGE_TOKENS], OLD[: PAGE_TOKENS + 9]):
        scope = granted_scope("handbook", 2 + len(tokens), ANN.scope)
        kept = await home.backend.keep(tokens, scope, None, ANN.scope, (V1,))
        assert kept.computed == 0 and sum(p.tokens for p in kept.pages) == len(tokens)
        comparison = await home.backend.recheck(kept, scope, range(len(kept.pages)))
        assert comparison.bad is None


async def test_copied_pages_are_read_from_disk_where_memory_has_them_no_more(home: Home) -> None:
    first = await home.backend.keep(OLD, V1, owner=ANN.scope)
    await home.restart()
    assert await home.backend.known(first, V1) == len(OLD)
    second = await home.backend.keep(NEW, V2, None, ANN.scope, (V1,))
    assert second.computed == len(NEW) - (2 * PAGE_TOKENS + 10)
    assert (await home.backend.recheck(second, V2, range(len(second.pages)))).bad is None


async def test_nothing_is_copied_from_scopes_that_are_not_named(home: Home) -> None:
    await home.backend.keep(OLD, V1, owner=ANN.scope)
    await home.backend.keep(OLD, PUBLIC, owner="tenant:b")
    assert (await home.backend.keep(OLD, V2, None, ANN.scope)).computed == len(OLD)
