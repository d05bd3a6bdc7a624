"""The waiting of OpenMP's threads, bounded before torch loads their library.

libgomp's threads spin for milliseconds when they wait for work or for one another. On a core that another process wants
too they spin away their own turn while their mate stands on the other core: small operations of torch, whose steps take
60 ms alone on two cores, were measured to take 240 to 6,600 ms a step beside a busy process on each core. With this
bound, some 20 us, they take 135 ms, and as long as ever alone. libgomp itself takes the same number where it knows that
there are more threads than cores.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

SPINS = "GOMP_SPINCOUNT"
OTHERS = ("OMP_WAIT_POLICY",)
"""The user's own word on it: where it is set, nothing is changed."""
_BOUND = "1000"


def bound_waiting(environ: MutableMapping[str, str] = os.environ) -> bool:
    """Set GOMP_SPINCOUNT unless the user has; return whether the bound is in force for a libgomp not loaded yet.

    libgomp reads it once, when it is loaded: a program that imports torch before kvproxy's engine sets it itself.
    """
    if "torch" in sys.modules:
        return False
    if not any(name in environ for name in (SPINS, *OTHERS)):
        environ[SPINS] = _BOUND
    return True
