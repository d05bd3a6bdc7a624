"""Models are made once; every engine that a test starts is audited and stopped after it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from kvproxy.engine import build
from kvproxy.engine.cache.page_io import DurablePages
from kvproxy.engine.cache.spill_tier import SpillFiles
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.sequence import ALLOWANCE
from tests.engine.harness import EngineHarness, HarnessMaker, make_harness
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import in_turn, make_model, write_vocabulary


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return Vocabulary(write_vocabulary(tmp_path_factory.mktemp("vocabulary")))


@pytest.fixture(scope="session")
def vocabulary_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@cache
def shared_model(kind: str, dtype: torch.dtype) -> TileModel:
    """Return a tiny model that no test changes; pytest would make it again, and measure it, in every file."""
    return make_model(kind, dtype)


MODELS = [(k, d) for k in ("llama", "qwen2", "qwen3") for d in (torch.bfloat16, torch.float32)]
PAIRED = {("llama", torch.bfloat16), ("qwen2", torch.float32), ("qwen3", torch.bfloat16)}
"""Each architecture once and each dtype: the other pairings are slow."""


@pytest.fixture(
    scope="session",
    params=[pytest.param(m, marks=() if m in PAIRED else pytest.mark.slow) for m in MODELS],
    ids=lambda m: f"{m[0]}-{str(m[1]).removeprefix('torch.')}",
)
def any_model(request: pytest.FixtureRequest) -> TileModel:
    return shared_model(*request.param)


@pytest.fixture(scope="session")
def llama() -> TileModel:
    """The one model of tests in which the architecture plays no part."""
    return shared_model("llama", torch.bfloat16)


@pytest.fixture(scope="module")
def small_model(smollm2: Path) -> Iterator[TileModel]:
    """The real small model on two threads, as on the smallest machine that serves it, whatever the rest has here."""
    before = torch.get_num_threads()
    model = build.load(
        smollm2, dtype="bfloat16", device="cpu", threads=2, tokenizer_digest="t", template_digest="c"
    )
    in_turn(model)
    yield model
    torch.set_num_threads(before)


@pytest.fixture
def rigs(llama: TileModel, vocabulary: Vocabulary) -> Iterator[HarnessMaker]:
    """Makes engines; ``rigs()`` is one on the tiny Llama with 64 pages."""
    made: list[EngineHarness] = []
    default_model, default_vocabulary = llama, vocabulary

    def make(
        model: TileModel | None = None,
        *,
        vocabulary: Vocabulary | None = None,
        pages: int = 64,
        max_context: int = 2048,
        max_running: int = 64,
        max_waiting: int = 64,
        eos_ids: frozenset[int] = frozenset(),
        store: DurablePages | None = None,
        spill: SpillFiles | None = None,
        allowance: int = ALLOWANCE,
    ) -> EngineHarness:
        rig = make_harness(
            model or default_model,
            vocabulary or default_vocabulary,
            pages=pages,
            max_context=max_context,
            max_running=max_running,
            max_waiting=max_waiting,
            eos_ids=eos_ids,
            store=store,
            spill=spill,
            allowance=allowance,
        )
        made.append(rig)
        return rig

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
def rig(rigs: HarnessMaker) -> EngineHarness:
    return rigs()


@pytest.fixture
def stepped() -> SteppedModel:
    """A model that the test holds before a tile and breaks."""
    return SteppedModel()
