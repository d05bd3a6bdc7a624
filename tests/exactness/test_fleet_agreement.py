"""`verify` of a fleet: agreement, for each framing, and nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvproxy.backends.fake.expecting_backend import ExpectingBackend
from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.exactness.verify import Verifier
from kvproxy.publish import Publisher
from kvproxy.served_model import ServedModel
from kvproxy.server.answers.served_framings import framings_elsewhere
from tests.documents.conversation import ALICE, BOB
from tests.documents.models import TEXTS, write_model
from tests.documents.registry.own_registry import OwnRegistry

REF = DocumentRef("apache")


@dataclass
class Fleet:
    backend: ExpectingBackend
    composer: Composer
    publisher: Publisher
    verifier: Verifier


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    folder, library = write_model(tmp_path / "model", "qwen3"), Library()
    framings = (Framing("system"), Framing("user"))
    composer = Composer(Tokenizer.load(folder), ChatTemplate.load(folder), library, framings)
    backend = ExpectingBackend(max_context=16_384)
    publisher = Publisher(
        composer=composer, library=library, registry=OwnRegistry(tmp_path), local=backend, max_text=100_000
    )
    text = (TEXTS / "apache-2.0.txt").read_text(encoding="utf-8").strip()
    await publisher.publish("apache", text, "public", ALICE, pinned=True)
    verifier = Verifier(composer, library, backend, "fake", publisher.quarantine)
    yield Fleet(backend, composer, publisher, verifier)


async def test_answers_that_agree_are_not_called_exact(fleet: Fleet) -> None:
    found = await fleet.verifier.verify(REF, BOB, new_tokens=8)
    assert [v.framing for v in found] == ["system", "user"]
    for one in found:
        assert (one.exact, one.note, one.pages, one.positions) == (False, "", 0, 0)
        assert one.agreement is not None and one.agreement.agreed
        assert (one.equal_greedy, one.greedy_tokens, one.largest_difference) == (8, 8, 0.0)
        assert one.cached_tokens % 128 == 0 and one.cached_tokens > 1000


async def test_a_difference_is_told_and_nothing_goes_into_quarantine(fleet: Fleet) -> None:
    fleet.backend.difference = 0.25
    found = await fleet.verifier.verify(REF, BOB, new_tokens=8)
    assert {(v.equal_greedy, v.greedy_tokens, v.largest_difference) for v in found} == {(7, 8, 0.25)}
    assert not any(v.agreement is not None and v.agreement.agreed for v in found)
    assert (await fleet.publisher.get(REF, BOB)).quarantined is None


async def test_no_logprob_difference_is_told_where_there_is_no_number(fleet: Fleet) -> None:
    fleet.backend.difference = float("nan")
    assert {v.largest_difference for v in await fleet.verifier.verify(REF, BOB)} == {None}


async def test_two_computed_answers_compare_nothing(fleet: Fleet) -> None:
    fleet.backend.reported = 0
    for one in await fleet.verifier.verify(REF, BOB):
        assert "read no cached block" in one.note


async def test_what_is_not_cached_is_not_compared(fleet: Fleet) -> None:
    fleet.backend.evict()
    for one in await fleet.verifier.verify(REF, BOB):
        assert (one.agreement, one.note) == (None, "no block of this prompt is cached")


async def test_views_name_replicas_and_pin_with_best_effort(fleet: Fleet) -> None:
    info = await fleet.publisher.get(REF, BOB)
    assert info.pinned == "best effort"
    for framing in info.framings:
        (held,) = framing.replicas
        assert (held.replica, held.tier) == ("replica-a", "device")
        assert held.tokens == framing.tokens - framing.tokens % 128
    fleet.backend.evict()
    assert [f.replicas for f in (await fleet.publisher.get(REF, BOB)).framings] == [(), ()]


async def test_framings_under_a_further_model_are_those_of_its_library(fleet: Fleet) -> None:
    further = ServedModel("fleet", fleet.backend, fleet.composer)
    (one,) = framings_elsewhere([further], REF, BOB)
    info = await fleet.publisher.get(REF, BOB)
    assert (one.model, one.tokens) == ("fleet", info.tokens)
    assert [(f.name, f.tokens, f.replicas) for f in one.framings] == [
        (f.name, f.tokens, f.replicas) for f in info.framings
    ]
    assert one.framings[0].resident_tokens == one.framings[0].replicas[0].tokens
    assert framings_elsewhere([further], DocumentRef("unknown"), BOB) == ()
