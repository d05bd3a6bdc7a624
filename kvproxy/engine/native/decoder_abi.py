"""The structures of the decoder's C interface, field by field as in ``kernels/abi/decoder_abi.h``."""

from __future__ import annotations

import ctypes

import torch

PARTS = 4
DTYPES = {torch.bfloat16: 0, torch.float16: 1, torch.float32: 2}
"""The kernels' numbers of dtypes, see ``kernels/product/packed.h``."""

BLOCKS = 256
"""Added to a kind of quantised blocks, it is the dtype of an embedding of such rows."""

_I32, _P = ctypes.c_int32, ctypes.c_void_p


class CProduct(ctypes.Structure):
    """Matrices side by side: ``kvp_product``."""

    _fields_ = (("parts", _I32), ("part", _P * PARTS))


class CDecoderLayer(ctypes.Structure):
    """One layer: ``kvp_decoder_layer``."""

    _fields_ = (
        ("norm_in", _P),
        ("norm_mid", _P),
        ("norm_q", _P),
        ("norm_k", _P),
        ("rotary", _I32),
        ("qkv", CProduct),
        ("o", CProduct),
        ("gate_up", CProduct),
        ("down", CProduct),
    )


class CDecoderShape(ctypes.Structure):
    """A decoder's sizes, tables and output head: ``kvp_decoder_shape``."""

    _fields_ = (
        *((name, _I32) for name in ("layers", "hidden", "heads", "kv_heads", "dim", "intermediate", "vocab")),
        ("embedding_dtype", _I32),
        ("eps", ctypes.c_float),
        ("query_factor", ctypes.c_float),
        ("rotary_scaling", ctypes.c_double),
        ("inverse_frequencies", _P),
        ("embedding", _P),
        ("norm", _P),
        ("head", CProduct),
    )


class CPool(ctypes.Structure):
    """A pool of pages: ``kvp_pool``."""

    _fields_ = (("data", _P), ("bytes", ctypes.c_int64), ("dtype", _I32), ("pages", _I32))


class CRowsOfPages(ctypes.Structure):
    """Rows and their page tables alone: ``kvp_rows_of_pages``."""

    _fields_ = (
        ("rows", _I32),
        ("table_entries", _I32),
        *((n, _P) for n in ("positions", "row_tables", "tables")),
    )


class CTile(ctypes.Structure):
    """A tile's rows and page tables: ``kvp_tile``."""

    _fields_ = (
        ("rows", _I32),
        ("table_entries", _I32),
        *((name, _P) for name in ("token_ids", "positions", "row_tables", "tables", "hidden", "angles")),
    )
