"""The engine as it is where no kernels of our own are to be had."""

from __future__ import annotations

import pytest


def torch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let models that are loaded from now on run by torch's own operations."""
