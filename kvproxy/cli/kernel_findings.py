"""Examination of the engine's own CPU kernels: the instruction set in use, or what their absence costs."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from kvproxy.errors import SetupError
from kvproxy.terminal.finding import Finding

if TYPE_CHECKING:
    from kvproxy.engine.native.kernel_library import Kernels, NoKernels

CHECK = "kernels"
COST = "torch computes instead: exact too, but prompts take twice as long and decoding four times, as was measured"


def read_kernels() -> Kernels | NoKernels | SetupError:
    """Load them, or return the error of a wrong KVPROXY_INSTRUCTIONS."""
    from kvproxy.engine.native.kernel_library import load_kernels

    try:
        return load_kernels()
    except SetupError as e:
        return e


def are_usable(found: Kernels | NoKernels | SetupError) -> bool:
    """Whether the engine computes by them, on a CPU."""
    from kvproxy.engine.native.kernel_library import Kernels

    return isinstance(found, Kernels)


def kernels_finding(found: Kernels | NoKernels | SetupError) -> Finding:
    """Report the instruction set in use, and what would make the engine faster."""
    from kvproxy.engine.native.kernel_library import CHOICE, NoKernels

    if isinstance(found, SetupError):
        return Finding("fail", CHECK, found.message, f"unset {CHOICE}")
    if isinstance(found, NoKernels):
        return Finding("warn", CHECK, f"{found.reason}; {COST}", found.advice)
    what = f"{found.instructions}, compiled by {found.compiler}"
    if found.instructions != found.available[0]:
        return Finding("warn", CHECK, what, f"unset {CHOICE}: {found.available[0]} is faster here")
    if found.instructions == "portable":
        advice = (
            f"this {platform.machine()} has no vector instructions that they know; all is exact, and slow"
        )
        return Finding("warn", CHECK, what, advice)
    return Finding("ok", CHECK, what)
