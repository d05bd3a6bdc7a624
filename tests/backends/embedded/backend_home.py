"""`Home`: the embedded backend on a tiny model and a store that survives it; fixtures, and requests to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import torch

from kvproxy.backends.base import Generation, NoPages, PagesFound
from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.core import Caller, DocumentRef, Prompt, Sampling, Span
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.events import Event, Finished, Started, TextDelta
from kvproxy.store.page_store import PageStore
from tests.engine.harness import EngineHarness, make_harness
from tests.engine.tiny import make_model, prompt, write_vocabulary

ANN, BOB = Caller("ann", "tenant:ann"), Caller("bob", "tenant:bob")
DOCUMENT = prompt(1, 600)
ASKED = (*DOCUMENT, *prompt(2, 30))
REF = DocumentRef("handbook", 1)


@pytest.fixture(scope="module")
def model() -> TileModel:
    return make_model("llama", torch.bfloat16)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return Vocabulary(write_vocabulary(tmp_path_factory.mktemp("vocabulary")))


class Home:
    """A backend on a store that survives it."""

    def __init__(self, model: TileModel, vocabulary: Vocabulary, folder: Path) -> None:
        self._model, self._vocabulary, self._folder = model, vocabulary, folder
        self.max_size = 2**24
        self.pages = 32
        self.open()

    def open(self) -> None:
        self.store = PageStore(self._folder, max_size=self.max_size, fingerprint=self._model.fingerprint)
        self.rig: EngineHarness = make_harness(
            self._model, self._vocabulary, pages=self.pages, max_context=1024, store=self.store
        )
        self.backend = EmbeddedBackend(self.rig.engine, "tiny", self.store)

    async def close(self) -> None:
        if self.rig.engine.alive:
            assert await self.backend.check() == []
        await asyncio.to_thread(self.rig.close)
        assert self.store.check() == []
        self.store.close()

    async def restart(self) -> None:
        await self.close()
        self.open()


@pytest.fixture
async def home(model: TileModel, vocabulary: Vocabulary, tmp_path: Path) -> AsyncIterator[Home]:
    made = Home(model, vocabulary, tmp_path)
    yield made
    await made.close()


def generation(
    tokens: tuple[int, ...] = ASKED,
    caller: Caller = ANN,
    *,
    spans: tuple[Span, ...] = (),
    new: int = 6,
    require_cached: int = 0,
    sampling: Sampling | None = None,
) -> Generation:
    chosen = sampling or Sampling(temperature=0.0, max_tokens=new)
    return Generation("id", Prompt(tokens, spans), chosen, caller, require_cached)


async def events_of(backend: EmbeddedBackend, asked: Generation) -> list[Event]:
    return [e async for e in backend.generate(asked)]


def text_of(events: list[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta))


def cached_of(events: list[Event]) -> int:
    started, finished = events[0], events[-1]
    assert isinstance(started, Started) and isinstance(finished, Finished)
    assert finished.usage.cached_tokens == started.cached_tokens
    return started.cached_tokens


def found(backend: EmbeddedBackend, tokens: tuple[int, ...], caller: Caller = ANN) -> PagesFound | NoPages:
    with backend.hold(Prompt(tokens), caller) as lookup:
        return lookup
