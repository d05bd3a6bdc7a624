"""The functions of ``kernels/kvproxy.h`` and its structures, as ctypes calls them."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int32, c_int64, c_void_p
from typing import Any

ABI = 1
"""KVP_ABI of the header that the declarations below follow."""

NO_MEMORY = -2
"""KVP_NO_MEMORY."""
DAMAGED = -4
"""KVP_DAMAGED."""


class SourceRows(ctypes.Structure):
    """``kvp_rows``: rows of weights, ``stride`` elements apart."""

    _fields_ = (("data", c_void_p), ("rows", c_int64), ("stride", c_int64))


class BlockRows(ctypes.Structure):
    """``kvp_block_rows``: quantised rows, ``row_bytes`` apart."""

    _fields_ = (("data", c_void_p), ("rows", c_int64), ("row_bytes", c_int64), ("kind", c_int32))


class RowsOfPages(ctypes.Structure):
    """``kvp_rows_of_pages``: rows at positions of sequences."""

    _fields_ = (
        *(("rows", c_int32), ("table_entries", c_int32)),
        *((name, c_void_p) for name in ("positions", "row_tables", "tables")),
    )


class KernelCallError(ValueError):
    """A call that the library refused: an argument out of its range. Nothing was written."""


_I32, _I64, _P = c_int32, c_int64, c_void_p
_POOL = (_P, _I32, _I32, _I32)
"""A pool, its layers, key heads and components of a head."""
_SHAPE = (_I32, _I32, _I32, _I32)
"""A frame's heads, positions, components of a head, and bytes of an element."""
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "kvp_abi_version": (_I32, []),
    "kvp_source_digest": (c_char_p, []),
    "kvp_compiler": (c_char_p, []),
    "kvp_last_error": (c_char_p, []),
    "kvp_use_openmp": (None, [_P, _P, _P]),
    "kvp_instruction_sets": (c_char_p, []),
    "kvp_choose": (_I32, [c_char_p]),
    "kvp_chosen": (c_char_p, []),
    "kvp_matrix_new": (_P, [_I32, _I64, _I64, _P, _I32, _P, _P, _I32]),
    "kvp_matrix_new_quantised": (_P, [_I64, _I64, _P, _I32, _P, _P, _I32]),
    "kvp_read_quantised": (_I32, [_P, _I64, _P, _I32]),
    "kvp_matrix_free": (None, [_P]),
    "kvp_matrix_bytes": (_I64, [_P]),
    "kvp_linear": (_I32, [_P, _P, _I32, _I64, _P, _I32]),
    "kvp_write_kv": (_I32, [*_POOL, _I32, _P, _P, _P, _I32]),
    "kvp_attend": (_I32, [*_POOL, _I32, _P, _I32, _P, _P, _I32]),
    "kvp_page_read": (_I32, [*_POOL, _I32, _I32, _P]),
    "kvp_page_write": (_I32, [*_POOL, _I32, _I32, _P]),
    "kvp_frame_most": (_I64, [*_SHAPE]),
    "kvp_frame_encode": (_I64, [*_SHAPE, _P, _P]),
    "kvp_frame_decode": (_I32, [*_SHAPE, _P, _I64, _P]),
    "kvp_decoder_new": (_P, [_P]),
    "kvp_decoder_set_layer": (_I32, [_P, _I32, _P]),
    "kvp_decoder_free": (None, [_P]),
    "kvp_decoder_step": (_I32, [_P, _P, _P, _I32, _I32, _I32]),
    "kvp_decoder_first_kv": (_I32, [_P, _P, _P, _I32]),
    "kvp_decoder_logits": (_I32, [_P, _P, _I32, _P, _I32]),
}


def declare(library: ctypes.CDLL) -> None:
    """Give every function its types. Raises AttributeError where the library lacks one."""
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
