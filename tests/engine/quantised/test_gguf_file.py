from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kvproxy.engine.quantised.gguf_file import GgufFile, in_halves
from kvproxy.engine.quantised.quantised_tensor import BlockKind, QuantisedTensor
from kvproxy.errors import SetupError
from tests.engine.quantised.make_gguf import DIM, HEADS, make_gguf


def test_weights_have_the_names_and_rows_of_transformers(tmp_path: Path) -> None:
    plain = make_gguf(tmp_path / "tiny.gguf")
    found = dict(GgufFile(tmp_path / "tiny.gguf").weights())
    q, down = found["model.layers.1.self_attn.q_proj.weight"], found["model.layers.0.mlp.down_proj.weight"]
    assert isinstance(q, QuantisedTensor) and isinstance(down, QuantisedTensor)
    assert q.kind is BlockKind.Q4_K and down.width == 512
    order = in_halves(HEADS * DIM, HEADS)
    assert np.abs(q.dequantised() - plain["blk.1.attn_q.weight"][order]).max() < 0.03
    norm = found["model.norm.weight"]
    assert isinstance(norm, torch.Tensor) and norm.shape == (256,)


def test_only_the_llama_architecture_keeps_rotary_pairs_side_by_side(tmp_path: Path) -> None:
    plain = make_gguf(tmp_path / "tiny.gguf", "qwen3")
    q = dict(GgufFile(tmp_path / "tiny.gguf").weights())["model.layers.0.self_attn.q_proj.weight"]
    assert isinstance(q, QuantisedTensor)
    assert np.abs(q.dequantised() - plain["blk.0.attn_q.weight"]).max() < 0.03


def test_halves_of_heads() -> None:
    assert in_halves(8, 2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize("kind", ["F16", "BF16", "F32"])
def test_float_tensors(tmp_path: Path, kind: str) -> None:
    plain = make_gguf(tmp_path / "tiny.gguf", v=kind)
    v = dict(GgufFile(tmp_path / "tiny.gguf").weights())["model.layers.0.self_attn.v_proj.weight"]
    assert isinstance(v, torch.Tensor) and v.shape == (128, 256)
    assert np.abs(v.float().numpy() - plain["blk.0.attn_v.weight"]).max() < 2e-3


def test_a_type_without_kernels_is_named(tmp_path: Path) -> None:
    make_gguf(tmp_path / "tiny.gguf", v="Q4_1")
    with pytest.raises(SetupError, match=r"no kernels for Q4_1 \(blk\.0\.attn_v\.weight\)"):
        dict(GgufFile(tmp_path / "tiny.gguf").weights())
