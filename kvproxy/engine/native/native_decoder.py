"""`NativeDecoder`: a dense decoder's packed weights, and its steps and logits by the native kernels.

Llama, Qwen2 (biases), Qwen3 (norms of q and k), Mistral and SmolLM3 (layers without position embedding): pre-norm
attention and SwiGLU. Between products everything is float32; operands of products are rounded to the weights' dtype.
"""

from __future__ import annotations

import ctypes
import math
import warnings
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.native.decoder_abi import (
    BLOCKS,
    DTYPES,
    CDecoderLayer,
    CDecoderShape,
    CProduct,
    CTile,
)
from kvproxy.engine.native.kernel_library import Kernels
from kvproxy.engine.native.native_layout import pool_of
from kvproxy.engine.native.native_tile import NativeTile
from kvproxy.engine.native.packed_matrix import PackedMatrix
from kvproxy.engine.quantised.quantised_modules import QuantisedEmbedding

FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3", "smollm3"})
_INTERLEAVED = 16
"""Columns of gate, then as many of up: the product's epilogue finds both of a component in one panel of 32."""


def runs_natively(config: Any, dtype: torch.dtype) -> bool:
    """Return whether there are kernels for all of a model. config: transformers'; dtype: that of its weights."""
    heads = config.num_attention_heads
    dim = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    plain = getattr(config, "hidden_act", None) == "silu"
    whole = getattr(config, "partial_rotary_factor", None) in (None, 1.0)
    sizes = dim % 16 == 0 and dim <= 256 and config.hidden_size % 2 == 0 and config.intermediate_size % 2 == 0
    return config.model_type in FAMILIES and plain and whole and sizes and dtype in DTYPES


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """One layer's packed products and its norms, float32."""

    qkv: tuple[PackedMatrix, ...]
    """Side by side: query heads, key heads, value heads."""
    o: tuple[PackedMatrix, ...]
    gate_up: tuple[PackedMatrix, ...]
    """Gate and up alternate by 16 columns."""
    down: tuple[PackedMatrix, ...]
    norm_in: torch.Tensor
    norm_mid: torch.Tensor
    norm_q: torch.Tensor | None
    norm_k: torch.Tensor | None
    rotary: bool

    def matrices(self) -> tuple[PackedMatrix, ...]:
        """Return all its matrices."""
        return (*self.qkv, *self.o, *self.gate_up, *self.down)


@dataclass(frozen=True, slots=True)
class DecoderWeights:
    """A decoder's packed weights and its tables."""

    shape: PageShape
    heads: int
    hidden: int
    intermediate: int
    vocab: int
    eps: float
    scaling: float
    """The model's factor of scores."""
    inverse_frequencies: torch.Tensor
    """float32 [head_dim / 2]"""
    rotary_scaling: float
    embedding: torch.Tensor
    """[vocab, hidden], or the bytes of quantised rows"""
    embedding_dtype: int
    """The kernels' number."""
    norm: torch.Tensor
    """float32 [hidden]"""
    head: tuple[PackedMatrix, ...]
    layers: tuple[DecoderLayer, ...]


class NativeDecoder:
    """A decoder in the native library. One thread at a time; each call runs on torch's own team of threads."""

    def __init__(self, kernels: Kernels, weights: DecoderWeights) -> None:
        """Describe the weights to the library; they stay where they are, and are kept alive."""
        self._kernels = kernels
        self.weights = weights
        self.layers = len(weights.layers)
        shape = CDecoderShape(
            layers=self.layers,
            hidden=weights.hidden,
            heads=weights.heads,
            kv_heads=weights.shape.kv_heads,
            dim=weights.shape.head_dim,
            intermediate=weights.intermediate,
            vocab=weights.vocab,
            embedding_dtype=weights.embedding_dtype,
            eps=weights.eps,
            query_factor=weights.scaling * math.log2(math.e),
            rotary_scaling=weights.rotary_scaling,
            inverse_frequencies=weights.inverse_frequencies.data_ptr(),
            embedding=weights.embedding.data_ptr(),
            norm=weights.norm.data_ptr(),
            head=_product(weights.head),
        )
        library = self._kernels.library
        self._handle = kernels.made(library.kvp_decoder_new(ctypes.byref(shape)), "a decoder")
        weakref.finalize(self, library.kvp_decoder_free, self._handle)
        for i, layer in enumerate(weights.layers):
            self._kernels.check(library.kvp_decoder_set_layer(self._handle, i, ctypes.byref(_layer(layer))))

    def step(self, tile: NativeTile, kv: torch.Tensor, first: int, end: int) -> None:
        """Run layers ``first`` to ``end`` (exclusive) over a tile, K and V written into ``kv`` (the pool's tensor).

        Layer 0 begins with the embedding; behind the last one ``tile.hidden`` holds the states after the last norm.
        Raises ValueError for a row, page or token id that is out of range; then nothing was written.

        Example: ``decoder.step(tile, pool.kv, 0, decoder.layers)``
        """
        pool, made = pool_of(kv), _tile(tile)
        self._kernels.check(
            self._kernels.library.kvp_decoder_step(
                self._handle, ctypes.byref(pool), ctypes.byref(made), first, end, torch.get_num_threads()
            )
        )

    def first_kv(self, tile: NativeTile, kv: torch.Tensor) -> None:
        """Write layer 0's K and V of a tile into ``kv``, on this thread alone. Raises ValueError as :meth:`step`.

        Example: ``decoder.first_kv(tile, pool.kv)``
        """
        pool, made = pool_of(kv), _tile(tile)
        library = self._kernels.library
        self._kernels.check(
            library.kvp_decoder_first_kv(self._handle, ctypes.byref(pool), ctypes.byref(made), 1)
        )

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Apply the output head: [R, hidden] -> float32 [R, vocab]."""
        rows = hidden.float().contiguous()
        logits = torch.empty(len(rows), self.weights.vocab)
        if len(rows):
            self._kernels.check(
                self._kernels.library.kvp_decoder_logits(
                    self._handle, rows.data_ptr(), len(rows), logits.data_ptr(), torch.get_num_threads()
                )
            )
        return logits


def pack_decoder(
    kernels: Kernels, body: Any, head: nn.Linear, config: Any, shape: PageShape
) -> DecoderWeights:
    """Pack the weights of a transformers decoder, layer by layer, and free the plain ones: they are in memory once.

    ``body``: the model without its output head; ``config``: transformers'; ``shape``: of its pages.

    Example: ``pack_decoder(load_kernels(), model.get_decoder(), model.lm_head, model.config, shape)``
    """
    layers = []
    for i in range(len(body.layers)):
        layers.append(_pack_layer(kernels, body.layers[i]))
        body.layers[i] = None
    rotary = body.rotary_emb
    embedding, embedding_dtype = _table(body.embed_tokens)
    return DecoderWeights(
        shape=shape,
        heads=int(config.num_attention_heads),
        hidden=int(config.hidden_size),
        intermediate=int(config.intermediate_size),
        vocab=int(config.vocab_size),
        eps=float(body.norm.variance_epsilon),
        scaling=float(getattr(config, "attention_multiplier", None) or shape.head_dim**-0.5),
        inverse_frequencies=rotary.inv_freq.detach().float().contiguous(),
        rotary_scaling=float(rotary.attention_scaling),
        embedding=embedding,
        embedding_dtype=embedding_dtype,
        norm=body.norm.weight.detach().float(),
        head=(PackedMatrix.of(kernels, [head]),),
        layers=tuple(layers),
    )


def _pack_layer(kernels: Kernels, layer: Any) -> DecoderLayer:
    attention, mlp = layer.self_attn, layer.mlp
    return DecoderLayer(
        qkv=(PackedMatrix.of(kernels, [attention.q_proj, attention.k_proj, attention.v_proj]),),
        o=(PackedMatrix.of(kernels, [attention.o_proj]),),
        gate_up=(
            PackedMatrix.of(kernels, [mlp.gate_proj, mlp.up_proj], interleaved(mlp.gate_proj.out_features)),
        ),
        down=(PackedMatrix.of(kernels, [mlp.down_proj]),),
        norm_in=layer.input_layernorm.weight.detach().float(),
        norm_mid=layer.post_attention_layernorm.weight.detach().float(),
        norm_q=_head_norm(attention, "q_norm"),
        norm_k=_head_norm(attention, "k_norm"),
        rotary=bool(getattr(attention, "use_rope", True)),
    )


def interleaved(intermediate: int) -> torch.Tensor:
    """Return the rows of gate and up, one below the other, in the order of the fused product: int64, -1 for a zero row.

    Both alternate by 16 rows; the last block is filled up with zero rows.
    """
    blocks = -(-intermediate // _INTERLEAVED)
    gate = torch.arange(blocks * _INTERLEAVED)
    gate[intermediate:] = -1
    up = torch.where(gate < 0, -1, gate + intermediate)
    return torch.stack((gate.view(blocks, -1), up.view(blocks, -1)), dim=1).reshape(-1)


def _table(embedding: nn.Module) -> tuple[torch.Tensor, int]:
    """Return an embedding's memory, and the kernels' number of its dtype."""
    if isinstance(embedding, QuantisedEmbedding):
        # Its rows are looked up where they lie: in the file's map. A copy would be another half of the head.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(embedding.blocks.blocks), BLOCKS + int(embedding.blocks.kind)
    weight = embedding.get_parameter("weight").detach().contiguous()
    return weight, DTYPES[weight.dtype]


def _head_norm(attention: Any, name: str) -> torch.Tensor | None:
    norm = getattr(attention, name, None)
    return None if norm is None else norm.weight.detach().float()


def _tile(tile: NativeTile) -> CTile:
    return CTile(
        rows=len(tile.token_ids),
        table_entries=len(tile.tables),
        token_ids=tile.token_ids.ctypes.data,
        positions=tile.positions.ctypes.data,
        row_tables=tile.row_tables.ctypes.data,
        tables=tile.tables.ctypes.data,
        hidden=tile.hidden.data_ptr(),
        angles=tile.angles.data_ptr(),
    )


def _product(parts: tuple[PackedMatrix, ...]) -> CProduct:
    made = CProduct(parts=len(parts))
    for i, matrix in enumerate(parts):
        made.part[i] = matrix.handle
    return made


def _layer(layer: DecoderLayer) -> CDecoderLayer:
    return CDecoderLayer(
        norm_in=layer.norm_in.data_ptr(),
        norm_mid=layer.norm_mid.data_ptr(),
        norm_q=None if layer.norm_q is None else layer.norm_q.data_ptr(),
        norm_k=None if layer.norm_k is None else layer.norm_k.data_ptr(),
        rotary=int(layer.rotary),
        qkv=_product(layer.qkv),
        o=_product(layer.o),
        gate_up=_product(layer.gate_up),
        down=_product(layer.down),
    )
