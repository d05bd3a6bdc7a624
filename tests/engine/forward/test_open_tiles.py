"""The choice of a model's kernels; all of them compute the same model."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward import open_tiles
from kvproxy.engine.forward.native_modules import ModuleTiles
from kvproxy.engine.forward.tile_model import TileModel, from_module
from kvproxy.engine.forward.torch_tiles import TorchTiles
from kvproxy.engine.native.native_tiles import NativeTiles
from kvproxy.engine.tiling.segment import Segment
from tests.engine.tiny import DEVICE, make_module, prompt
from tests.engine.torch_only import torch_only

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="the CPU's kernels")
LENGTH, PAGES = PAGE_TOKENS + 70, [3, 1]
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
KINDS = pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])


def without_native_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_tiles, "runs_natively", lambda *_: False)


def load(kind: str, dtype: torch.dtype) -> TileModel:
    return from_module(make_module(kind, dtype), kind)


@torch.inference_mode()
def computed(model: TileModel, *cuts: int) -> torch.Tensor:
    """Return the logits of a prompt that is cut at ``cuts``."""
    ids, pool, parts = prompt(1, LENGTH), model.pool(5), []
    most = model.numerics.largest
    edges = sorted({0, *cuts, PAGE_TOKENS, *range(0, LENGTH, most), LENGTH})
    for start, end in pairwise(edges):
        tile = model.tiles.tile(ids[start:end], range(start, end), [Segment(0, start, end - start, PAGES)])
        parts.append(model.tiles.run(tile, pool.kv)[: end - start].clone())
    return model.logits(torch.cat(parts))


@DTYPES
@KINDS
def test_all_kernels_compute_one_model(
    kind: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = load(kind, dtype)
    with monkeypatch.context() as patch:
        without_native_decoder(patch)
        modules = load(kind, dtype)
    torch_only(monkeypatch)
    plain = load(kind, dtype)
    assert isinstance(native.tiles, NativeTiles) and isinstance(modules.tiles, ModuleTiles)
    assert isinstance(plain.tiles, TorchTiles)
    assert len({m.fingerprint for m in (native, modules, plain)}) == 3
    near = 1e-4 if dtype == torch.float32 else 0.1
    results = [computed(m) for m in (native, modules, plain)]
    assert all(float((x - results[2]).abs().mean() / results[2].std()) < near for x in results[:2])
    for model, whole in zip((native, modules, plain), results, strict=True):
        assert model.numerics.exact
        for cuts in ((1, 2, 3), (37, 100, 255, 257), (LENGTH - 1,)):
            assert torch.equal(computed(model, *cuts), whole), (model.numerics.kernel, cuts)


def test_heads_that_no_kernel_has_are_left_to_torch() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=101,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=512,
    )
    model = from_module(LlamaForCausalLM(config), "narrow")
    assert isinstance(model.tiles, TorchTiles) and model.numerics.exact


def test_threads_are_no_part_of_the_fingerprint_of_native_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = load("llama", torch.bfloat16)
        torch.set_num_threads(2)
        two = load("llama", torch.bfloat16)
        assert one.fingerprint == two.fingerprint
        torch_only(monkeypatch)
        assert load("llama", torch.bfloat16).identity["threads"] == "2"
    finally:
        torch.set_num_threads(threads)
