"""The kernels of this process; a machine without them skips their tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kvproxy.engine.native.kernel_library import Kernels, NoKernels, load_kernels


@pytest.fixture
def kernels() -> Kernels:
    found = load_kernels()
    if isinstance(found, NoKernels):
        pytest.skip(found.reason)
    return found


@pytest.fixture
def in_each_set(kernels: Kernels) -> Callable[[Callable[[], None]], None]:
    """Runs a check with every instruction set of this machine."""

    def run(check: Callable[[], None]) -> None:
        try:
            for name in kernels.available:
                kernels.check(kernels.library.kvp_choose(name.encode()))
                check()
        finally:
            kernels.check(kernels.library.kvp_choose(kernels.instructions.encode()))

    return run
