from __future__ import annotations

import re
from dataclasses import replace

import pytest

from kvproxy.backends.fleet.cache_salts import CacheSalts
from kvproxy.core import GRANTED, PUBLIC, Caller, Prompt, documents_scope, granted_scope
from kvproxy.core.prompts import Span
from kvproxy.core.requests import CacheHints, DocumentRef

ALICE, BOB = Caller("alice", "tenant:a"), Caller("bob", "tenant:b")
SHARED, STRICT = CacheSalts(b"k" * 32, "m"), CacheSalts(b"k" * 32, "m", "strict")
GRANT = granted_scope("book", 1, "tenant:a")


def about(scope: str | None) -> Prompt:
    return Prompt((1, 2, 3), (Span(DocumentRef("book", 1), 0, 2, scope),))


@pytest.mark.parametrize("scope", [None, PUBLIC, GRANT, documents_scope("tenant:a")])
@pytest.mark.parametrize("salts", [SHARED, STRICT])
def test_a_salt_is_one_that_replicas_take(salts: CacheSalts, scope: str | None) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", salts.of_prompt(about(scope), ALICE))


def test_a_public_or_granted_document_is_shared_unless_isolation_is_strict() -> None:
    for scope in (PUBLIC, GRANT):
        assert SHARED.of_prompt(about(scope), ALICE) == SHARED.of_prompt(about(scope), BOB)
        assert STRICT.of_prompt(about(scope), ALICE) != STRICT.of_prompt(about(scope), BOB)
    assert SHARED.of_prompt(about(PUBLIC), ALICE) != SHARED.of_prompt(about(GRANT), ALICE)
    assert SHARED.of_prompt(about(GRANT), ALICE) != SHARED.of_scope(granted_scope("book", 2, "tenant:a"), "")


@pytest.mark.parametrize("salts", [SHARED, STRICT])
@pytest.mark.parametrize("prompt", [Prompt((1,)), about(None)])
def test_what_is_no_published_document_is_the_tenants_own(salts: CacheSalts, prompt: Prompt) -> None:
    assert salts.of_prompt(prompt, ALICE) == salts.of_tenant("tenant:a") != salts.of_prompt(prompt, BOB)


def test_a_private_documents_readers_and_publisher_have_one_salt() -> None:
    scope = documents_scope("tenant:a")
    assert SHARED.of_prompt(about(scope), ALICE) == SHARED.of_scope(scope, "tenant:a")


def behind(first: str, *others: DocumentRef) -> Prompt:
    """Return a prompt of a document under its framing and others behind it, which have no scope there."""
    owner = None if first == PUBLIC else GRANTED
    spans = [Span(DocumentRef("book", 1, owner), 0, 2, first)]
    spans += [Span(ref, 2 + at, 3 + at) for at, ref in enumerate(others)]
    return Prompt(tuple(range(9)), tuple(spans))


PUBLISHED, OWN = DocumentRef("terms", 2), DocumentRef("notes", 1, "tenant:a")
GRANTED_BOOK, OTHER_GRANT = DocumentRef("book", 1, GRANTED), DocumentRef("book", 2, GRANTED)


@pytest.mark.parametrize(
    ("first", "others", "shared"),
    [
        (PUBLIC, (PUBLISHED,), True),
        (PUBLIC, (OWN,), False),
        (PUBLIC, (PUBLISHED, OWN), False),
        (PUBLIC, (OWN, PUBLISHED), False),
        (PUBLIC, (GRANTED_BOOK,), False),
        (GRANT, (PUBLISHED, GRANTED_BOOK), True),
        (GRANT, (OTHER_GRANT,), False),
        (GRANT, (OWN,), False),
    ],
)
def test_a_prompts_salt_is_that_of_its_document_with_the_fewest_readers(
    first: str, others: tuple[DocumentRef, ...], shared: bool
) -> None:
    prompt = behind(first, *others)
    alice, bob = (SHARED.of_prompt(prompt, who) for who in (ALICE, BOB))
    if shared:
        assert alice == bob == SHARED.of_scope(first, "")
    else:
        assert (alice, bob) == (SHARED.of_tenant(ALICE.scope), SHARED.of_tenant(BOB.scope))
        assert SHARED.of_scope(first, "") in SHARED.others(prompt, ALICE), "a miss is told as another salt's"


def test_a_requests_own_salt_separates_it_from_all_and_each_tenants_is_another() -> None:
    hints = CacheHints(salt="x")
    salted = [who.salted(hints) for who in (ALICE, BOB)]
    found = {SHARED.of_prompt(about(PUBLIC), who) for who in (*salted, ALICE)}
    assert len(found) == 3
    assert SHARED.of_prompt(about(PUBLIC), ALICE) in SHARED.others(about(PUBLIC), salted[0])


def test_other_hosts_and_other_models_have_other_salts() -> None:
    found = {CacheSalts(key, model).of_tenant("t") for key in (b"a" * 32, b"b" * 32) for model in ("m", "n")}
    assert len(found) == 4


def test_the_parts_of_a_salt_cannot_be_moved_into_one_another() -> None:
    assert SHARED.of_tenant("salted") != SHARED.of_tenant("salte") and SHARED._made(
        "a", "bc"
    ) != SHARED._made("ab", "c")


def test_others_are_never_another_tenants() -> None:
    everyone = {SHARED.of_tenant(BOB.scope), SHARED.of_prompt(about(documents_scope(BOB.scope)), BOB)}
    for prompt in (Prompt((1,)), about(PUBLIC), about(None), about(GRANT)):
        others = SHARED.others(prompt, ALICE)
        assert not everyone & set(others) and SHARED.of_prompt(prompt, ALICE) not in others
        assert len(set(others)) == len(others)
    assert replace(ALICE, scope="tenant:b") != ALICE
