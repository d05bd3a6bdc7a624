"""The engine's own counters, as a bill reads them while a prompt is computed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kvproxy.core.prefill_progress import PrefillProgress
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.events import Started
from tests.backends.embedded.backend_home import ASKED, Home, generation
from tests.engine.tiny import make_model, write_vocabulary


@pytest.fixture(scope="module")
def model() -> TileModel:
    return make_model("llama", torch.bfloat16)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return Vocabulary(write_vocabulary(tmp_path_factory.mktemp("vocabulary")))


async def test_progress_follows_the_engine_and_stays_when_the_client_leaves(
    model: TileModel, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    home = Home(model, vocabulary, tmp_path)
    progress = PrefillProgress()
    assert (progress.cached, progress.reached) == (0, 0)
    seen: list[int] = []
    async with aclosing(home.backend.generate(replace(generation(), progress=progress))) as events:
        first = asyncio.ensure_future(anext(events))
        while not first.done():
            seen.append(progress.reached)
            await asyncio.sleep(0)
        assert isinstance(first.result(), Started)
    assert seen == sorted(seen) and progress.reached >= len(ASKED) and progress.cached == 0
    again = PrefillProgress()
    asked = replace(generation(require_cached=600), request_id="again", progress=again)
    async with aclosing(home.backend.generate(asked)) as events:
        await anext(events)
    assert again.cached == len(ASKED) - 1
    await home.close()
