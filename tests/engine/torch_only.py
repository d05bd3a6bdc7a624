"""The engine as it is where no kernels of our own are to be had."""

from __future__ import annotations

import pytest

from kvproxy.engine.forward import open_tiles
from kvproxy.engine.native.kernel_library import NoKernels


def torch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let models that are loaded from now on run by torch's own operations."""
    monkeypatch.setattr(open_tiles, "load_kernels", lambda: NoKernels("none", "get some"))
