from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.backends.fleet.fleet_backend import FleetBackend
from kvproxy.core import (
    PUBLIC,
    Caller,
    ChatRequest,
    DocumentRef,
    Message,
    Prompt,
    Sampling,
    TextPart,
    Visibility,
)
from kvproxy.core.callers import documents_scope, granted_scope
from kvproxy.core.pages import NoPages, PagesFound
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.publish import Publisher
from tests.backends.fleet.conftest import ModelTexts, OpenRig, opened_fleet
from tests.backends.fleet.fleet_requests import ALICE, BOB, a_generation, answer_of, document_prompt
from tests.documents.registry.own_registry import OwnRegistry
from tests.server.doubles import eventually

DOCUMENT = tuple(range(100, 300))
QUESTION = tuple(range(500, 520))
GRANTED_SCOPE = granted_scope("handbook", 1, ALICE.scope)
TEXT = "".join(f"Rule {at}: everyone does what rule {at + 1} says, and nothing else.\n" for at in range(30))


async def test_an_answer_has_a_start_text_and_the_replicas_own_counts(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        fleet["a"].say_next("Hello, Grüße 🙂.")
        found = await answer_of(fleet.backend, a_generation(DOCUMENT, sampling=Sampling(max_tokens=64)))
    assert found.text == "Hello, Grüße 🙂."
    assert found.started is not None and found.started.confirmed is False
    assert found.started.choice is not None and found.started.choice.replica == "a"
    assert found.finished is not None and found.finished.reason == "stop"
    usage = found.finished.usage
    assert (usage.prompt_tokens, usage.cached_tokens) == (200, 0)
    assert usage.completion_tokens >= sum(delta.tokens for delta in found.deltas) > 0


async def test_a_published_document_is_a_hit_of_every_reader(rig: OpenRig) -> None:
    async with rig(3) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        assert (kept.pages, kept.bytes, kept.computed) == ((), 0, 200)
        prompt = document_prompt(DOCUMENT, QUESTION)
        for caller in (ALICE, BOB):
            with fleet.backend.hold(prompt, caller) as lookup:
                assert isinstance(lookup, PagesFound) and lookup.tokens >= 192
                assert lookup.choice is not None and lookup.choice.cause is None
            found = await answer_of(fleet.backend, a_generation(prompt, caller))
            assert found.started is not None and found.started.cached_tokens == lookup.tokens
            assert found.cached >= 192
        (holder,) = fleet.backend.replicas_of(kept, BOB)
        assert lookup.choice is not None
        assert holder.tokens == 192 and holder.replica == lookup.choice.replica
        assert fleet.backend.resident(kept, ALICE) == 192


async def test_a_document_goes_to_one_replica_and_other_documents_elsewhere(rig: OpenRig) -> None:
    async with rig(4) as fleet:
        for at in range(16):
            prompt = document_prompt(tuple(range(at, at + 64)), QUESTION, id=f"d{at}")
            for _ in range(2):
                await answer_of(fleet.backend, a_generation(prompt))
        asked = [len(one.requests) for one in fleet.replicas.values()]
        assert sum(asked) == 32 and all(n % 2 == 0 for n in asked) and sum(n > 0 for n in asked) > 1


async def test_a_lookup_of_nothing_says_so(rig: OpenRig) -> None:
    async with rig(2) as fleet:
        with fleet.backend.hold(document_prompt(DOCUMENT, QUESTION), ALICE) as lookup:
            assert isinstance(lookup, NoPages) and not lookup.evicted
            assert lookup.choice is not None and lookup.choice.cause == "not-on-replica"


@pytest.mark.parametrize("scope", [PUBLIC, GRANTED_SCOPE, documents_scope(ALICE.scope)])
@pytest.mark.parametrize("isolation", ["shared", "strict"])
async def test_what_is_pinned_is_what_the_publisher_reads(rig: OpenRig, isolation: str, scope: str) -> None:
    """A tenant's own publication is its own hit, whatever is shared with others."""
    async with rig(1, isolation=isolation) as fleet:
        backend, owner = fleet.backend, ALICE.scope
        kept = await backend.keep(DOCUMENT, scope, owner=owner)
        release = await backend.pin(kept, scope, owner)
        assert await backend.known(kept, scope, owner) == 200 and backend.in_memory(kept, scope, owner) == 192
        assert len(backend._copies.prefixes) == 1, "one prefix, under one salt"
        reader = ALICE.reading([scope])
        prompt = document_prompt(DOCUMENT, QUESTION, scope)
        assert (await answer_of(backend, a_generation(prompt, reader))).cached == 192
        assert len({one.salt for one in fleet["a"].requests}) == 1
        await fleet["a"].evict()
        await eventually(lambda: backend.figures().warmed == 1)
        await eventually(lambda: backend.resident(kept, reader) == 192)
        await backend.forget(kept, scope, frozenset(), owner)
        await release()
        assert len(backend._copies.prefixes) == 0 == backend.figures().warm_queue


@pytest.mark.parametrize("scope", [PUBLIC, GRANTED_SCOPE])
async def test_under_strict_isolation_what_is_kept_is_its_publishers_alone(rig: OpenRig, scope: str) -> None:
    async with rig(1, isolation="strict") as fleet:
        backend, bob = fleet.backend, BOB.reading([scope])
        kept = await backend.keep(DOCUMENT, scope, owner=ALICE.scope)
        await backend.pin(kept, scope, ALICE.scope)
        prompt = document_prompt(DOCUMENT, QUESTION, scope)
        assert backend.replicas_of(kept, bob) == ()
        assert (await answer_of(backend, a_generation(prompt, bob))).cached == 0
        assert (await answer_of(backend, a_generation(prompt, bob))).cached >= 192, (
            "its own, once it has read"
        )
        assert (await answer_of(backend, a_generation(prompt, ALICE.reading([scope])))).cached == 192
        await fleet["a"].evict()
        await eventually(
            lambda: backend.figures().warmed >= 1 and backend.resident(kept, ALICE.reading([scope])) == 192
        )
        assert backend.resident(kept, bob) == 0, "nothing warms another reader's"


def asked(composer: Composer, caller: Caller) -> Prompt:
    messages = (Message("system", (TextPart(TEXT),)), Message("user", (TextPart("Why?"),)))
    return composer.compose(ChatRequest("fleet", messages), caller)


def a_publisher(
    texts: ModelTexts, backend: FleetBackend, registry: OwnRegistry
) -> tuple[Publisher, Composer]:
    library = Library()
    composer = Composer(texts.tokenizer, texts.template, library, (Framing("system"),))
    return Publisher(composer=composer, library=library, registry=registry, local=backend), composer


@pytest.mark.parametrize("visibility", ["public", "granted", "private"])
async def test_a_publishers_document_under_strict_isolation_from_its_pin_to_its_end(
    rig: OpenRig, texts: ModelTexts, tmp_path: Path, visibility: Visibility
) -> None:
    async with rig(1, isolation="strict") as fleet:
        registry = OwnRegistry(tmp_path)
        publisher, composer = a_publisher(texts, fleet.backend, registry)
        done = await publisher.publish("rules", TEXT, visibility, ALICE, pinned=True)
        (framing,) = done.info.framings
        assert framing.resident_tokens == framing.tokens // 16 * 16 and done.info.pinned == "best effort"
        warmth = await publisher.residency.warm(DocumentRef("rules"), ALICE)
        assert [one.after for one in warmth.framings] == [framing.resident_tokens]
        found = await answer_of(fleet.backend, a_generation(asked(composer, ALICE)))
        assert found.cached >= framing.resident_tokens
        async with opened_fleet(texts, fleet.replicas, isolation="strict") as second:
            again, _ = a_publisher(texts, second, registry)
            requests = len(fleet["a"].requests)
            await eventually(
                lambda: second._residency.events_known("a")
            )  # until then nothing is resident for it
            await again.restore()
            await again.refresh()
            assert len(second._copies.prefixes) == 1 == second.figures().warm_queue
            assert len(fleet["a"].requests) == requests, "nothing is computed"
            again.close()
        await publisher.delete(DocumentRef("rules"), ALICE)
        copies = fleet.backend._copies
        assert len(copies.prefixes) == len(copies.rates) == 0 == fleet.backend.figures().warm_queue
        await fleet["a"].evict()
        await copies.look()
        assert fleet.backend.figures().warmed == 0
        publisher.close()
        registry.close()
