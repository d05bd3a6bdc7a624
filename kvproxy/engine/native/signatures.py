"""The functions of ``kernels/kvproxy.h`` and its structures, as ctypes calls them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from ctypes import c_char_p, c_int32, c_int64, c_void_p
from typing import Any

ABI = 1
"""KVP_ABI of the header that the declarations below follow."""

NO_MEMORY = -2


class SourceRows(ctypes.Structure):
    """``kvp_rows``: rows of weights, ``stride`` elements apart."""

    _fields_ = (("data", c_void_p), ("rows", c_int64), ("stride", c_int64))


class KernelCallError(RuntimeError):
    """A call that the library refused: an argument that no caller of the engine should give."""


_int = c_int32
_DESCRIPTIONS: Mapping[str, list[Any]] = {
    "kvp_source_digest": [],
    "kvp_compiler": [],
    "kvp_last_error": [],
    "kvp_instruction_sets": [],
    "kvp_chosen": [],
}
_CHECKED: Mapping[str, list[Any]] = {
    "kvp_choose": [c_char_p],
    "kvp_linear": [c_void_p, c_void_p, _int, c_int64, c_void_p, _int],
}
_MAKERS: Mapping[str, list[Any]] = {
    "kvp_matrix_new": [_int, c_int64, c_int64, c_void_p, _int, c_void_p, c_void_p, _int],
}
_OTHERS: Mapping[str, tuple[Any, list[Any]]] = {
    "kvp_use_openmp": (None, [c_void_p, c_void_p, c_void_p]),
    "kvp_matrix_free": (None, [c_void_p]),
    "kvp_matrix_bytes": (c_int64, [c_void_p]),
}


def declare(library: ctypes.CDLL) -> None:
    """Give every function its types; those that can fail raise `KernelCallError` or ``MemoryError``."""

    def refuse(code: int | None) -> None:
        message = library.kvp_last_error().decode(errors="replace")
        raise MemoryError(message) if code == NO_MEMORY else KernelCallError(message)

    def succeed(result: int, *_: object) -> None:
        if result < 0:
            refuse(result)

    def made(result: int | None, *_: object) -> int:
        if not result:
            refuse(None)
        assert result is not None
        return result

    for name, arguments in _DESCRIPTIONS.items():
        _declare(library, name, c_char_p, arguments)
    for name, arguments in _CHECKED.items():
        _declare(library, name, c_int32, arguments, succeed)
    for name, arguments in _MAKERS.items():
        _declare(library, name, c_void_p, arguments, made)
    for name, (result, arguments) in _OTHERS.items():
        _declare(library, name, result, arguments)


def _declare(
    library: ctypes.CDLL,
    name: str,
    result: Any,
    arguments: list[Any],
    check: Callable[..., Any] | None = None,
) -> None:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = arguments
    if check is not None:
        function.errcheck = check
