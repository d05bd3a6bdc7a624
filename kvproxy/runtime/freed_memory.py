"""`return_freed_memory`: memory that was freed and that the allocator still has, back to the system."""

from __future__ import annotations

import ctypes


def return_freed_memory() -> None:
    """Return memory that was freed in pieces to the system.

    Otherwise the weights' plain layout, freed in pieces among the packed one, stays resident (of the Qwen3-0.6B shape
    0.33 GB beside 1.89), and so does what requests of all sizes free. Does nothing without glibc's ``malloc_trim``.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return
    trim(0)
