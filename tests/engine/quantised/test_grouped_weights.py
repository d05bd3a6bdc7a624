from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kvproxy.engine.quantised.grouped_weights import check_method, grouped_weights
from kvproxy.engine.quantised.quantised_tensor import QuantisedTensor
from kvproxy.errors import SetupError

AWQ_PLACES = (0, 2, 4, 6, 1, 3, 5, 7)
"""AWQ's gemm packing: the column at each 4-bit place, from the lowest."""


def words(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Pack integers along the last dimension into int32, the lowest bits first."""
    parts = values.numpy().reshape(*values.shape[:-1], -1, 32 // bits).astype(np.uint64)
    packed = (parts << (np.arange(32 // bits, dtype=np.uint64) * np.uint64(bits))).sum(-1)
    return torch.from_numpy(packed.astype(np.uint32).view(np.int32))


def read(tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> torch.Tensor:
    found = dict(grouped_weights(tensors, config))
    weight = found["a.weight"]
    assert list(found) == ["a.weight"] and isinstance(weight, QuantisedTensor)
    return torch.from_numpy(weight.dequantised())


@pytest.mark.parametrize("bits", [4, 8])
def test_gptq(bits: int) -> None:
    q = torch.randint(0, 2**bits, (128, 24))
    zeros = torch.randint(1, 16, (2, 24)) if bits == 4 else torch.full((2, 24), 128)
    scales = torch.rand(2, 24).half()
    tensors = {
        "a.qweight": words(q.T.contiguous(), bits).T.contiguous(),
        "a.qzeros": words(zeros - 1, bits),
        "a.scales": scales,
    }
    plain = (q - zeros.repeat_interleave(64, 0)) * scales.float().repeat_interleave(64, 0)
    assert torch.equal(read(tensors, {"quant_method": "gptq", "bits": bits, "group_size": 64}), plain.T)
    tensors["a.g_idx"] = torch.randperm(128) // 64
    with pytest.raises(SetupError, match="desc_act"):
        read(tensors, {"quant_method": "gptq", "bits": bits})


def test_awq() -> None:
    q, zeros = torch.randint(0, 16, (64, 16)), torch.randint(0, 16, (2, 16))
    scales = torch.rand(2, 16).half()
    order = torch.tensor([8 * i + place for i in range(2) for place in AWQ_PLACES])
    tensors = {"a.qweight": words(q[:, order], 4), "a.qzeros": words(zeros[:, order], 4), "a.scales": scales}
    plain = (q - zeros.repeat_interleave(32, 0)) * scales.float().repeat_interleave(32, 0)
    assert torch.equal(read(tensors, {"quant_method": "awq", "bits": 4, "version": "gemm"}), plain.T)


@pytest.mark.parametrize("bits", [4, 8])
def test_compressed_tensors(bits: int) -> None:
    q = torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), (16, 64))
    scales = torch.rand(16, 1).bfloat16()
    tensors = {
        "a.weight_packed": words(q + 2 ** (bits - 1), bits),
        "a.weight_scale": scales,
        "a.weight_shape": torch.tensor([16, 64]),
    }
    config: dict[str, Any] = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
    assert torch.equal(read(tensors, config), q * scales.float())
    if bits == 4:
        zeros = torch.randint(-8, 8, (16, 1))
        tensors["a.weight_zero_point"] = words((zeros + 8).T.contiguous(), 4).T.contiguous()
        assert torch.equal(read(tensors, config), (q - zeros) * scales.float())


def test_plain_tensors_go_through() -> None:
    tensors = {"norm.weight": torch.ones(3)}
    assert dict(grouped_weights(tensors, {"quant_method": "gptq", "bits": 4})) == tensors


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"quant_method": "gptq", "bits": 4, "desc_act": True}, "desc_act"),
        ({"quant_method": "gptq", "bits": 3}, "3 bits"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "gemv"),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, "float-quantized"),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "pack-quantized",
                "config_groups": {"g": {"weights": {"num_bits": 2, "type": "int", "strategy": "group"}}},
            },
            "num_bits 2",
        ),
        ({"quant_method": "bitsandbytes"}, "bitsandbytes"),
    ],
)
def test_other_ways_are_refused_by_name(config: dict[str, Any], what: str) -> None:
    with pytest.raises(SetupError, match=what):
        check_method(config)


def test_groups_that_are_no_blocks_are_refused() -> None:
    tensors = {
        "a.qweight": torch.zeros(6, 8, dtype=torch.int32),
        "a.qzeros": torch.zeros(3, 1, dtype=torch.int32),
        "a.scales": torch.ones(3, 8),
    }
    with pytest.raises(SetupError, match="groups of 16"):
        read(tensors, {"quant_method": "gptq", "bits": 4})
