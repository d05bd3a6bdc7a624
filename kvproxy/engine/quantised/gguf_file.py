"""`GgufFile`: the weights of a GGUF file under transformers' names, read in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kvproxy.engine.quantised.quantised_tensor import BlockKind, QuantisedTensor
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    import torch
    from gguf import ReaderTensor

_BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
ROPE_FACTORS = "rope_freqs.weight"
"""Divisors of the rotary frequencies, where a model has other ones than its base gives (Llama 3.1)."""
_SIDE_BY_SIDE = frozenset({"llama", "smollm3"})
"""Architectures whose q and k rows the files keep with rotary pairs side by side; transformers keeps halves."""


class GgufFile:
    """A GGUF file, memory-mapped. Tensors that are read keep the map alive."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises SetupError when it is none."""
        from gguf import GGUFReader

        try:
            self._reader = GGUFReader(path)
            self.metadata: dict[str, Any] = {n: f.contents() for n, f in self._reader.fields.items()}
        except (OSError, ValueError, KeyError, IndexError) as e:
            raise SetupError(f"cannot read {path}: {e}") from e
        self.path = path
        self.architecture = str(self.metadata.get("general.architecture"))
        if int(self.metadata.get("split.count") or 1) > 1:
            raise SetupError(f"{path.name} is one of several parts: join them with llama-gguf-split --merge")

    @property
    def tied(self) -> bool:
        """Whether the output head is the embedding."""
        return all(t.name != "output.weight" for t in self._reader.tensors)

    def tensor_names(self) -> list[str]:
        """Return GGUF's names of all tensors."""
        return [t.name for t in self._reader.tensors]

    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(int(t.n_elements) for t in self._reader.tensors)

    def rope_factors(self) -> torch.Tensor | None:
        """Return the divisors of the rotary frequencies, float32 [head_dim / 2]; None without any."""
        import torch

        for tensor in self._reader.tensors:
            if tensor.name == ROPE_FACTORS:
                return torch.from_numpy(np.array(tensor.data, dtype=np.float32))
        return None

    def weights(self) -> Iterator[tuple[str, QuantisedTensor | torch.Tensor]]:
        """Yield (transformers' name, weight). Raises SetupError for a type that there are no kernels for."""
        for tensor in self._reader.tensors:
            if tensor.name == ROPE_FACTORS:
                continue
            yield self._name(tensor.name), self._ordered(tensor, self._read(tensor))

    def _name(self, name: str) -> str:
        parts = name.split(".")
        if parts[0] == "blk" and len(parts) == 4 and parts[2] in _BLOCK_NAMES:
            return f"model.layers.{parts[1]}.{_BLOCK_NAMES[parts[2]]}.{parts[3]}"
        if parts[0] in _TOP_NAMES and len(parts) == 2:
            return f"{_TOP_NAMES[parts[0]]}.{parts[1]}"
        raise SetupError(f"{self.path.name} has a tensor {name}, which no supported architecture has")

    def _read(self, tensor: ReaderTensor) -> QuantisedTensor | torch.Tensor:
        import torch
        from gguf import GGMLQuantizationType as Type

        shape = tuple(int(n) for n in reversed(tensor.shape))
        if tensor.tensor_type == Type.F32:
            return torch.from_numpy(np.array(tensor.data, dtype=np.float32)).reshape(shape)
        if tensor.tensor_type == Type.F16:
            return torch.from_numpy(np.array(tensor.data, dtype=np.float16)).reshape(shape)
        if tensor.tensor_type == Type.BF16:
            bits = np.array(tensor.data).view(np.int16)
            return torch.from_numpy(bits).view(torch.bfloat16).reshape(shape)
        try:
            kind = BlockKind(int(tensor.tensor_type))
        except ValueError:
            raise SetupError(
                f"{self.path.name}: there are no kernels for {tensor.tensor_type.name} ({tensor.name}); "
                f"take a file of {', '.join(k.name for k in BlockKind if k != BlockKind.Q4_Z)}, such as Q4_K_M"
            ) from None
        return QuantisedTensor(kind, shape[1], np.asarray(tensor.data).reshape(shape[0], -1))

    def _ordered(
        self, tensor: ReaderTensor, weight: QuantisedTensor | torch.Tensor
    ) -> QuantisedTensor | torch.Tensor:
        kind = tensor.name.split(".")[-2]
        key = {"attn_q": "attention.head_count", "attn_k": "attention.head_count_kv"}.get(kind)
        if key is None or self.architecture not in _SIDE_BY_SIDE:
            return weight
        rows = weight.rows if isinstance(weight, QuantisedTensor) else weight.shape[0]
        order = in_halves(rows, int(self.metadata[f"{self.architecture}.{key}"]))
        return weight.reordered(order) if isinstance(weight, QuantisedTensor) else weight[order]


def in_halves(rows: int, heads: int) -> npt.NDArray[np.int64]:
    """Return the order that puts each head's rows into halves: GGUF keeps rotary pairs side by side."""
    return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(-1)
