"""Tests that need a CUDA device. ``KVPROXY_TEST_DEVICE=cuda`` runs the engine's exactness tests there, too."""

from __future__ import annotations

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from kvproxy.engine.forward.cuda.graphs import Graphs
from kvproxy.engine.forward.cuda.tile_layout import BASE_TILE, TILES, TileShape
from kvproxy.engine.forward.tile_model import TileModel, from_module
from kvproxy.engine.tiling.segment import Segment
from tests.engine.conftest import MODELS
from tests.engine.tiny import make_module, on_device, prompt

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
LENGTH = 700
PAGES = [5, 2, 9]


@pytest.fixture(scope="module", params=MODELS, ids=lambda m: f"{m[0]}-{str(m[1]).removeprefix('torch.')}")
def model(request: pytest.FixtureRequest) -> TileModel:
    kind, dtype = request.param
    return from_module(on_device(make_module(kind, dtype), "cuda"), kind)


def poisoned(model: TileModel) -> torch.Tensor:
    """Make a pool with pages that hold NaN wherever nothing was written."""
    kv = model.pool(12).kv
    return kv.fill_(float("nan"))


def run(model: TileModel, kv: torch.Tensor, tokens: tuple[int, ...], start: int, count: int) -> torch.Tensor:
    segments = [Segment(0, start, count, PAGES)]
    tile = model.tiles.tile(tokens[start : start + count], range(start, start + count), segments)
    return model.tiles.run(tile, kv)[:count]


def prefill(model: TileModel, kv: torch.Tensor, tokens: tuple[int, ...]) -> torch.Tensor:
    """In the largest tiles that agree with each other."""
    most = model.numerics.largest
    starts = range(0, len(tokens), most)
    return torch.cat([run(model, kv, tokens, at, min(most, len(tokens) - at)) for at in starts])


@torch.inference_mode()
def test_it_is_exact_there_and_in_bf16_all_tiles_agree(model: TileModel) -> None:
    assert model.numerics.exact and model.numerics.kernel == "triton", model.numerics.describe()
    if model.dtype == torch.bfloat16:
        assert model.numerics.sizes == TILES, model.numerics.describe()


@torch.inference_mode()
def test_any_chunking_gives_the_same_bits_recorded_or_not(model: TileModel) -> None:
    tokens = prompt(1, LENGTH)
    kv = poisoned(model)
    whole = prefill(model, kv, tokens)
    pages = kv[:, :, :, PAGES[:2]].clone()
    assert torch.isfinite(whole).all()
    for _ in range(2):  # The first use of a shape records it, the second replays.
        kv.fill_(float("nan"))
        at, chunks = 0, (1, 15, 16, 100, 150, 150, 3, 77, 1, 187)
        for count in chunks:
            assert torch.equal(run(model, kv, tokens, at, count), whole[at : at + count]), (at, count)
            at += count
        assert at == LENGTH and torch.equal(kv[:, :, :, PAGES[:2]], pages)


@torch.inference_mode()
def test_every_position_alone_has_its_bits_of_the_prompt(model: TileModel) -> None:
    tokens = prompt(2, LENGTH)
    kv = poisoned(model)
    whole = prefill(model, kv, tokens)
    for position in range(LENGTH):
        assert torch.equal(run(model, kv, tokens, position, 1)[0], whole[position]), position


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_float32_logits_are_those_of_transformers(kind: str) -> None:
    tokens = prompt(3, LENGTH)
    plain = on_device(make_module(kind, torch.float32), "cuda")
    expected = plain(torch.tensor([tokens], device="cuda")).logits[0]
    model = from_module(plain, kind)
    hidden = prefill(model, poisoned(model), tokens)
    assert torch.allclose(model.logits(hidden), expected, atol=3e-4)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
def test_a_family_that_runs_by_transformers_own_forward(dtype: torch.dtype) -> None:
    torch.manual_seed(5)
    config = MistralConfig(
        vocab_size=101,
        hidden_size=48,
        intermediate_size=100,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        sliding_window=None,
        initializer_range=0.2,
    )
    plain = on_device(MistralForCausalLM(config), "cuda", dtype)
    tokens = prompt(4, LENGTH)
    expected = plain(torch.tensor([tokens], device="cuda")).logits[0].float()
    model = from_module(plain, "mistral")
    assert model.numerics.exact, model.numerics.describe()
    kv = poisoned(model)
    whole = prefill(model, kv, tokens)
    assert (model.logits(whole) - expected).abs().mean() < 0.05 * expected.std()
    for first in (0, 1, 37, 63):  # Behind one row or a few, in the tile that float32 has in any case.
        for at in range(first, LENGTH, BASE_TILE):
            count = min(BASE_TILE, LENGTH - at)
            assert torch.equal(run(model, kv, tokens, at, count), whole[at : at + count]), (at, count)


@torch.inference_mode()
def test_a_tile_that_cannot_be_recorded_is_computed_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    model = from_module(on_device(make_module("llama", torch.bfloat16), "cuda"), "llama")
    tokens = prompt(5, 100)
    kv = poisoned(model)
    whole = prefill(model, kv, tokens)
    graphs = Graphs(model.device)
    graphs.compiled = True
    fresh = torch.zeros(8, device="cuda")

    def kernels() -> torch.Tensor:
        if torch.cuda.is_current_stream_capturing():
            fresh.sum().item()  # Waiting for the device cannot be recorded.
        return fresh + 1

    for _ in range(2):
        assert torch.equal(graphs.run(TileShape(16, 1, 1), (), kernels), fresh + 1)
    assert "could not be recorded" in caplog.text
    assert torch.equal(prefill(model, kv, tokens), whole)
