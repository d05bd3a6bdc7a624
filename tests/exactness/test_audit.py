"""Audits of a real engine on a tiny model."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import torch

from kvproxy.backends.base import BadPage, Generation
from kvproxy.backends.embedded.audit_samples import AuditSamples
from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.core import PUBLIC, Caller, DocumentRef, Prompt, Sampling, Span
from kvproxy.documents.library.library import Library
from kvproxy.documents.registry.registry import Registry
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.events import Event, Finished
from kvproxy.exactness.audit import Auditor
from kvproxy.exactness.quarantine import Quarantine
from kvproxy.publishing.publishing_parts import make_parts
from kvproxy.publishing.text_preparation import TextPreparer
from tests.documents.registry.own_registry import OwnRegistry
from tests.engine.altered_page import alter_page
from tests.engine.harness import EngineHarness, make_harness
from tests.engine.tiny import make_model, prompt, write_vocabulary
from tests.server.doubles import CharComposer

ANN = Caller("ann", "tenant:ann")
DOCUMENT = prompt(1, 600)
ASKED = (*DOCUMENT, *prompt(2, 30))
REF = DocumentRef("handbook", 1)
GREEDY = Sampling(temperature=0.0, max_tokens=8)


class Confined(Quarantine):
    """A quarantine that records its calls; every public page is the handbook's."""

    def __init__(self, backend: EmbeddedBackend, registry: Registry) -> None:
        preparer = TextPreparer(CharComposer(), "exact", backend)
        super().__init__(make_parts(Library(), registry, backend, preparer, None, lambda: 1.0))
        self.notes: dict[DocumentRef, str] = {}

    def owners(self, pages: Iterable[BadPage]) -> dict[DocumentRef, BadPage]:
        public = [page for page in pages if page.scope == PUBLIC]
        return {REF: public[0]} if public else {}

    async def confine(self, notes: Mapping[DocumentRef, str], *, spare: bool = True) -> None:
        self.notes.update(notes)


class Watch:
    """A backend of which every hit is audited."""

    def __init__(self, model: TileModel, folder: Path, rate: float) -> None:
        self.rig: EngineHarness = make_harness(
            model, Vocabulary(write_vocabulary(folder / "words")), pages=32
        )
        self.samples = AuditSamples(rate, most=2, source=random.Random(1))
        self.backend = EmbeddedBackend(self.rig.engine, "tiny", None, samples=self.samples)
        self.registry = OwnRegistry(folder)
        self.quarantine = Confined(self.backend, self.registry)
        self.auditor = Auditor(self.samples, self.backend, self.quarantine)

    async def read(
        self, tokens: tuple[int, ...] = ASKED, sampling: Sampling = GREEDY, cached: int = 600
    ) -> str:
        spans = (Span(REF, 0, 600, PUBLIC),) if tokens[:600] == DOCUMENT else ()
        asked = Generation("id", Prompt(tokens, spans), sampling, ANN, require_cached=cached, keep_until=0)
        events: list[Event] = [e async for e in self.backend.generate(asked)]
        assert isinstance(events[-1], Finished)
        return "".join(getattr(e, "text", "") for e in events)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110  counts have no event for a change
                await asyncio.sleep(0.005)

    def flip(self, index: int, scope: str = PUBLIC) -> None:
        """One bit of a page in memory."""
        (node,) = [n for n in self.rig.cache.index if n.index == index and n.scope == scope]
        page = node.page
        assert page is not None

        def change(rows: torch.Tensor) -> None:
            rows.view(torch.int16)[0, 1, 0, 5:6, 2].bitwise_xor_(0x40)

        self.rig.on_engine(lambda: alter_page(self.rig.cache.pool, page, change))


@pytest.fixture(scope="module")
def model() -> TileModel:
    return make_model("llama", torch.bfloat16)


@asynccontextmanager
async def watching(model: TileModel, folder: Path, rate: float = 1.0) -> AsyncIterator[Watch]:
    watch = Watch(model, folder, rate)
    task = asyncio.create_task(watch.auditor.run())
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await watch.backend.check() == []
        await asyncio.to_thread(watch.rig.close)
        watch.registry.close()


@pytest.mark.parametrize(
    "sampling",
    [
        GREEDY,
        Sampling(temperature=1.3, top_p=0.9, max_tokens=20),
        Sampling(seed=3, max_tokens=9, stop=("q",)),
    ],
    ids=["greedy", "drawn", "seed and stop"],
)
async def test_hits_that_were_right_pass(model: TileModel, tmp_path: Path, sampling: Sampling) -> None:
    async with watching(model, tmp_path) as watch:
        await watch.backend.keep(DOCUMENT, PUBLIC)
        before = watch.backend.occupancy()
        for _ in range(2):
            await watch.read(sampling=sampling)
        await watch.until(lambda: watch.auditor.counts.passed == 2)
        assert watch.auditor.counts.failed == watch.auditor.counts.dropped == 0
        assert watch.backend.occupancy().evictable == before.evictable, "nothing is left behind"
        assert watch.backend.info.exact


async def test_a_flipped_bit_is_found_and_the_page_gone(
    model: TileModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(model, tmp_path) as watch:
        await watch.backend.keep(DOCUMENT, PUBLIC)
        right = await watch.read()
        await watch.until(lambda: watch.auditor.counts.passed == 1)  # Of the page as it was.
        watch.flip(1)
        await watch.read()
        await watch.until(lambda: watch.auditor.counts.failed == 1)
        assert watch.quarantine.notes.keys() == {REF}
        assert watch.quarantine.notes[REF].startswith(
            "page 1 differs from a prefill from position 261 on, by up to "
        )
        assert "1 of 3 pages differ" in caplog.text and "handbook@1" in caplog.text
        assert {n.index for n in watch.rig.cache.index} == {0}, "it and all behind it are forgotten"
        assert await watch.read(cached=256) == right
        assert watch.backend.info.exact, "memory failed, not the engine"


async def test_audits_go_on_after_a_quarantine_fails(
    model: TileModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(notes: Mapping[DocumentRef, str], *, spare: bool = True) -> None:
        raise OSError("no such luck")

    async with watching(model, tmp_path) as watch:
        monkeypatch.setattr(watch.quarantine, "confine", fail)
        await watch.backend.keep(DOCUMENT, PUBLIC)
        watch.flip(1)
        await watch.read()
        await watch.until(lambda: watch.auditor.counts.failed == 1)
        await watch.read(cached=256)
        await watch.until(lambda: watch.auditor.counts.passed == 1)
    assert "no such luck" in caplog.text


async def test_a_hit_from_before_its_page_was_replaced_says_nothing_of_the_engine(
    model: TileModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own, second = prompt(5, 600), AuditSamples(1.0)
    async with watching(model, tmp_path) as watch:
        watch.rig.run(own, max_tokens=0, scope=ANN.scope, readable=ANN.readable)
        watch.flip(0, ANN.scope)
        late = EmbeddedBackend(watch.rig.engine, "tiny", None, samples=second)
        asked = Generation("late", Prompt((*own, 7)), GREEDY, ANN, require_cached=600, keep_until=0)
        assert [e async for e in late.generate(asked)]
        await watch.read((*own, 7), cached=600)
        await watch.until(lambda: watch.auditor.counts.failed == 1)
        await watch.read((*own, 7), cached=0)
        watch.rig.run(own, max_tokens=0, scope=ANN.scope, readable=ANN.readable)
        watch.samples.put(await second.get())
        await watch.until(lambda: watch.auditor.counts.failed == 2)
        await watch.until(lambda: "before its pages were found bad" in caplog.text)
        assert watch.backend.info.exact and watch.quarantine.notes == {}


async def test_a_tenants_own_pages_are_dropped_and_no_document_is_confined(
    model: TileModel, tmp_path: Path
) -> None:
    own = prompt(5, 600)
    async with watching(model, tmp_path) as watch:
        first = watch.rig.run(own, max_tokens=0, scope=ANN.scope, readable=ANN.readable)
        assert first.cached == 0
        watch.flip(0, ANN.scope)
        await watch.read((*own, 7), cached=600)
        await watch.until(lambda: watch.auditor.counts.failed == 1)
        assert watch.quarantine.notes == {} and len(watch.rig.cache.index) == 0


async def test_a_wrong_answer_from_right_pages_ends_the_claim(model: TileModel, tmp_path: Path) -> None:
    async with watching(model, tmp_path, rate=0.0) as watch:
        await watch.backend.keep(DOCUMENT, PUBLIC)
        taken = AuditSamples(1.0)
        asked = Generation("id", Prompt(ASKED), GREEDY, ANN, require_cached=600, keep_until=0)
        chosen = EmbeddedBackend(watch.rig.engine, "tiny", None, samples=taken)
        assert [e async for e in chosen.generate(asked)]
        hit = await taken.get()
        with torch.inference_mode():  # as the engine has made them
            hit.sequence.scored[3] += 0.5
        watch.samples.put(hit)
        await watch.until(lambda: watch.auditor.counts.failed == 1)
        assert watch.quarantine.notes == {} and not watch.backend.info.exact


async def test_audits_wait_for_requests_and_too_many_are_dropped(model: TileModel, tmp_path: Path) -> None:
    async with watching(model, tmp_path) as watch:
        await watch.backend.keep(DOCUMENT, PUBLIC)
        stream = watch.rig.submit(prompt(9, 30), max_tokens=1500)
        stream.begin()
        for _ in range(5):
            await watch.read()
        assert watch.auditor.counts.passed == 0 and len(watch.samples) <= 2
        assert watch.auditor.counts.dropped >= 2
        watch.rig.engine.cancel(stream.sequence)
        dropped = watch.auditor.counts.dropped
        await watch.until(lambda: watch.auditor.counts.passed == 5 - dropped)


async def test_only_a_share_is_audited_and_misses_never(model: TileModel, tmp_path: Path) -> None:
    async with watching(model, tmp_path, rate=0.0) as watch:
        await watch.backend.keep(DOCUMENT, PUBLIC)
        await watch.read()
        assert len(watch.samples) == 0
    assert not any(AuditSamples(0.0).wanted() for _ in range(50))
    share = AuditSamples(0.25, source=random.Random(4))
    assert 150 < sum(share.wanted() for _ in range(1000)) < 350
