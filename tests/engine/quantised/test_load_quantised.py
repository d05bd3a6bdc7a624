"""A GGUF model and a GPTQ one, from their files to logits: exact in the engine, near transformers on the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.tile_model import TileModel, load_model, read_config
from kvproxy.engine.models.source import resolve_model
from kvproxy.engine.quantised.load_quantised import is_quantised, load_quantised
from kvproxy.engine.quantised.quantised_modules import QuantisedEmbedding, QuantisedLinear
from kvproxy.errors import SetupError
from tests.engine.harness import HarnessMaker
from tests.engine.quantised.make_gguf import make_gguf

CPU = torch.device("cpu")


def tile_model(folder: Path) -> TileModel:
    return load_model(folder, dtype=torch.bfloat16, device=CPU, tokenizer_digest="t", template_digest="c")


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("gguf")
    make_gguf(place / "tiny.gguf", request.param)
    return resolve_model(str(place / "tiny.gguf"), cache_dir=place / "cache").path


def test_a_hit_is_a_miss_to_the_bit(folder: Path, rigs: HarnessMaker) -> None:
    model = tile_model(folder)
    assert model.numerics.exact
    rig = rigs(model, pages=32)
    tokens = tuple(np.random.default_rng(0).integers(1, 101, PAGE_TOKENS + 90).tolist())
    cold = rig.cold(tokens, max_tokens=8, score_from=PAGE_TOKENS)
    rig.run(tokens, max_tokens=0)
    for offset in (PAGE_TOKENS, PAGE_TOKENS + 1, PAGE_TOKENS + 63):
        hit = rig.score(tokens[: offset + 1], offset, register=False)
        assert hit.cached >= PAGE_TOKENS
        assert torch.equal(hit.logits[0], cold.logits[offset - PAGE_TOKENS])


def test_quantised_weights_compute_what_plain_ones_do(folder: Path) -> None:
    config, ids = read_config(folder), torch.arange(1, 61)[None]
    with torch.no_grad():
        plain = load_quantised(folder, config, dtype=torch.float32, attention="sdpa", keep=False)
        expected = plain(ids).logits[0]
        kept = load_quantised(folder, config, dtype=torch.float32, attention="sdpa", keep=True)
        seen = kept(ids).logits[0]
    layer = kept.get_decoder().layers[0]
    assert isinstance(layer.self_attn.q_proj, QuantisedLinear)
    assert isinstance(kept.get_input_embeddings(), QuantisedEmbedding)
    assert torch.allclose(seen, expected, atol=1e-4)
    error = native_logits(folder, ids[0].tolist()) - expected
    # Activations of 8 bits and K and V in bf16: a small part of the logits' size.
    assert error.square().mean().sqrt() < 0.03 * expected.square().mean().sqrt()


def native_logits(folder: Path, ids: list[int]) -> torch.Tensor:
    from kvproxy.engine.tiling.segment import Segment

    model = tile_model(folder)
    pool = model.pool(3)
    tile = model.tiles.tile(ids, range(len(ids)), [Segment(0, 0, len(ids), (1,))])
    return model.logits(model.tiles.run(tile, pool.kv)[: len(ids)])


def test_factors_of_the_rotary_frequencies_are_applied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kvproxy.engine.quantised.gguf_file import GgufFile

    config = read_config(folder)
    before = load_quantised(folder, config, dtype=torch.float32, attention="sdpa", keep=False)
    monkeypatch.setattr(GgufFile, "rope_factors", lambda _: torch.full((32,), 4.0))
    after = load_quantised(folder, config, dtype=torch.float32, attention="sdpa", keep=False)
    inverse = [m.get_decoder().rotary_emb.inv_freq for m in (before, after)]
    assert torch.equal(inverse[1], inverse[0] / 4)


def make_gptq(folder: Path) -> LlamaForCausalLM:
    """Write a tiny Llama as GPTQ of 4 bits in groups of 64, and return the model that its weights stand for."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128, hidden_size=128, intermediate_size=256, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=512, tie_word_embeddings=False,
    )  # fmt: skip
    model, tensors = LlamaForCausalLM(config), {}
    for name, parameter in list(model.named_parameters()):
        if "_proj" not in name:
            tensors[name] = parameter.detach().clone()
            continue
        out, width = parameter.shape
        q = torch.randint(0, 16, (width, out))
        zeros = torch.randint(1, 16, (width // 64, out))
        scales = torch.rand(width // 64, out).half() * 0.02
        parameter.data = (
            (q - zeros.repeat_interleave(64, 0)) * scales.float().repeat_interleave(64, 0)
        ).T.contiguous()
        path = name.removesuffix(".weight")
        tensors[f"{path}.qweight"] = words(q.T).T.contiguous()
        tensors[f"{path}.qzeros"] = words(zeros - 1)
        tensors[f"{path}.scales"] = scales
        tensors[f"{path}.g_idx"] = (torch.arange(width) // 64).int()
    folder.mkdir()
    settings = config.to_dict() | {
        "architectures": ["LlamaForCausalLM"],
        "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 64, "desc_act": False},
    }
    (folder / "config.json").write_text(json.dumps(settings))
    save_file(tensors, folder / "model.safetensors")
    return model


def words(values: torch.Tensor) -> torch.Tensor:
    """Pack 4-bit integers along the last dimension into int32, the lowest bits first."""
    parts = values.reshape(*values.shape[:-1], -1, 8) << (4 * torch.arange(8))
    return (parts.sum(-1) & 0xFFFFFFFF).to(torch.int64).apply_(lambda x: x - 2**32 if x >= 2**31 else x).int()


def test_gptq_is_read_without_its_library(tmp_path: Path) -> None:
    model = make_gptq(tmp_path / "gptq")
    ids = torch.arange(1, 41)[None]
    with torch.no_grad():
        expected = model(ids).logits[0]
    config = read_config(tmp_path / "gptq")
    assert is_quantised(tmp_path / "gptq", config)
    plain = load_quantised(tmp_path / "gptq", config, dtype=torch.float32, attention="sdpa", keep=False)
    with torch.no_grad():
        assert torch.allclose(plain(ids).logits[0], expected, atol=1e-4)
    error = native_logits(tmp_path / "gptq", ids[0].tolist()) - expected
    assert error.square().mean().sqrt() < 0.05 * expected.square().mean().sqrt()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    make_gptq(tmp_path / "gptq")
    config = read_config(tmp_path / "gptq")
    config.num_hidden_layers = 2
    with pytest.raises(SetupError, match=r"have no model\.layers\.1\."):
        load_quantised(tmp_path / "gptq", config, dtype=torch.float32, attention="sdpa", keep=True)
