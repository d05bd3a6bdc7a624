"""`grouped_weights`: group-quantised safetensors (GPTQ, AWQ, compressed-tensors) as blocks of the native kernels.

All three keep integers of 4 or 8 bits in int32 words, with one scale (and zero) for a group of inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kvproxy.engine.quantised.quantised_tensor import QuantisedTensor, blocks_q4_z, blocks_q8_0
from kvproxy.errors import SetupError

_AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""AWQ's gemm layout: at which 4-bit place of an int32 word each of its 8 columns stands."""
_GROUP = 32
"""Weights of a block, which the groups of a file must be made of."""

Ints = npt.NDArray[np.uint8]


def check_method(config: Mapping[str, Any]) -> None:
    """Raise SetupError unless the weights of this ``quantization_config`` can be read."""
    method = str(config.get("quant_method"))
    if method == "gptq":
        refuse(config.get("desc_act"), "GPTQ with desc_act (groups in the order of activations)")
        refuse(config.get("bits") not in (4, 8), f"GPTQ of {config.get('bits')} bits")
    elif method == "awq":
        version = str(config.get("version", "gemm")).lower()
        refuse(config.get("bits", config.get("w_bit")) != 4 or version != "gemm", f"AWQ {version}")
    elif method == "compressed-tensors":
        refuse(
            config.get("format") != "pack-quantized", f"compressed-tensors of format {config.get('format')}"
        )
        _check_groups(config)
    else:
        refuse(True, f"weights quantised by {method}")


def refuse(condition: object, what: str) -> None:
    """Raise SetupError where ``condition`` is true."""
    if condition:
        raise SetupError(
            f"{what} cannot be read: kvproxy reads GPTQ without desc_act, AWQ (gemm), compressed-tensors "
            "pack-quantized, and GGUF files"
        )


def _check_groups(config: Mapping[str, Any]) -> None:
    for group in (config.get("config_groups") or {}).values():
        weights = group.get("weights") or {}
        refuse(group.get("input_activations"), "compressed-tensors with quantised activations")
        refuse(
            weights.get("type") != "int"
            or weights.get("num_bits") not in (4, 8)
            or weights.get("strategy") not in ("group", "channel")
            or weights.get("actorder") not in (None, "static", "weight"),
            "compressed-tensors of "
            + ", ".join(f"{k} {weights.get(k)}" for k in ("num_bits", "type", "strategy")),
        )


def grouped_weights(
    tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]
) -> Iterator[tuple[str, QuantisedTensor | torch.Tensor]]:
    """Yield (name of the weight, blocks or plain tensor). ``config``: the model's ``quantization_config``.

    Example: ``dict(grouped_weights(tensors, config.quantization_config))``
    """
    check_method(config)
    reader = {"gptq": _gptq, "awq": _awq, "compressed-tensors": _compressed}[str(config["quant_method"])]
    first = "weight_packed" if config["quant_method"] == "compressed-tensors" else "qweight"
    parts = {"qweight", "qzeros", "scales", "g_idx"}
    parts |= {"weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx"}
    for name in tensors:
        path, _, leaf = name.rpartition(".")
        if leaf == first:
            yield f"{path}.weight", reader(tensors, path, config)
        elif leaf not in parts:
            yield name, tensors[name]


def _gptq(tensors: Mapping[str, torch.Tensor], path: str, config: Mapping[str, Any]) -> QuantisedTensor:
    """qweight int32 [in / per word, out], qzeros int32 [groups, out / per word], scales [groups, out]."""
    bits = int(config["bits"])
    values = _unpacked(tensors[f"{path}.qweight"].T, bits).T  # [in, out]
    zeros = _unpacked(tensors[f"{path}.qzeros"], bits)
    # The first format of GPTQ's files stores zeros less one; gptq_v2 stores them as they are.
    if config.get("checkpoint_format", "gptq") == "gptq":
        zeros = (zeros + 1) & (2**bits - 1 if bits == 8 else 31)
    index = tensors.get(f"{path}.g_idx")
    scales = tensors[f"{path}.scales"]
    if index is not None:
        plain = torch.arange(values.shape[0]) // (values.shape[0] // scales.shape[0])
        refuse(
            not torch.equal(index.long(), plain), "GPTQ with desc_act (groups in the order of activations)"
        )
    return _blocks(values.T, scales.T, zeros.T, bits, path)


def _awq(tensors: Mapping[str, torch.Tensor], path: str, config: Mapping[str, Any]) -> QuantisedTensor:
    """qweight int32 [in, out / 8], qzeros int32 [groups, out / 8], scales [groups, out]; columns in AWQ's order."""
    values = _awq_columns(_unpacked(tensors[f"{path}.qweight"], 4))
    zeros = _awq_columns(_unpacked(tensors[f"{path}.qzeros"], 4))
    return _blocks(values.T, tensors[f"{path}.scales"].T, zeros.T, 4, path)


def _awq_columns(values: Ints) -> Ints:
    by_word = values.reshape(values.shape[0], -1, 8)
    return by_word[:, :, _AWQ_ORDER].reshape(values.shape[0], -1)


def _compressed(tensors: Mapping[str, torch.Tensor], path: str, config: Mapping[str, Any]) -> QuantisedTensor:
    """weight_packed int32 [out, in / per word] of values + 2^(bits - 1), weight_scale [out, groups]."""
    rows, width = (int(n) for n in tensors[f"{path}.weight_shape"])
    packed = tensors[f"{path}.weight_packed"]
    bits = 32 * packed.shape[1] // width
    refuse(bits not in (4, 8), f"compressed-tensors of {bits} bits")
    values = _unpacked(packed, bits)[:, :width]
    zero_points = tensors.get(f"{path}.weight_zero_point")
    scales = tensors[f"{path}.weight_scale"]
    zeros: Ints = np.full((rows, scales.shape[1]), 2 ** (bits - 1), dtype=np.uint8)
    if zero_points is not None:
        zeros = _unpacked(zero_points.T, bits).T[:rows]
    return _blocks(values, scales, zeros, bits, path)


def _unpacked(words: torch.Tensor, bits: int) -> Ints:
    """Return the integers of each row's words, the lowest bits first."""
    array = np.ascontiguousarray(words.contiguous().numpy()).view(np.uint8)
    if bits == 8:
        return array
    return np.stack((array & 15, array >> 4), axis=-1).reshape(array.shape[0], -1)


def _blocks(values: Ints, scales: torch.Tensor, zeros: Ints, bits: int, path: str) -> QuantisedTensor:
    """Make blocks of values [out, in] with scales and zeros [out, groups], each repeated for its group's blocks."""
    width = values.shape[1]
    size = width // scales.shape[1]
    refuse(size % _GROUP, f"groups of {size} weights ({path})")
    half = scales.float().numpy().astype(np.float16)
    refuse(not np.isfinite(half).all(), f"scales beyond float16 ({path})")
    by_block = np.repeat(half, size // _GROUP, axis=1)
    values = np.ascontiguousarray(values)
    if bits == 4:
        return blocks_q4_z(values, by_block, np.repeat(zeros, size // _GROUP, axis=1))
    refuse((zeros != 128).any(), f"8 bits with a zero other than 128 ({path})")
    return blocks_q8_0((values ^ 128).view(np.int8), by_block)
