"""The functions that ctypes calls are those of the headers, with as many arguments."""

from __future__ import annotations

import ctypes
import re

import pytest

from kvproxy.engine.native.compile_library import KERNELS
from kvproxy.engine.native.signatures import _FUNCTIONS, ABI, declare

_PROTOTYPE = re.compile(r"^KVP_API [^(;]*?(kvp_\w+)\(([^)]*)\);", re.MULTILINE)


def prototypes() -> dict[str, int]:
    headers = [KERNELS / "kvproxy.h", *(KERNELS / "abi").glob("*.h")]
    found = {}
    for name, arguments in _PROTOTYPE.findall("\n".join(path.read_text() for path in headers)):
        found[name] = 0 if arguments == "void" else arguments.count(",") + 1
    return found


def test_each_function_has_the_header_s_number_of_arguments() -> None:
    assert {name: len(arguments) for name, (_, arguments) in _FUNCTIONS.items()} == prototypes()


def test_the_interface_s_version_is_the_header_s() -> None:
    assert f"#define KVP_ABI {ABI} " in (KERNELS / "kvproxy.h").read_text()


def test_a_library_that_lacks_a_function_is_found_out() -> None:
    with pytest.raises(AttributeError, match="kvp_"):
        declare(ctypes.CDLL(None))
