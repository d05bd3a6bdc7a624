"""The checkout is read and parsed once for all checks, and freed after the last one of this folder."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.house.checkout import Checkout, here


@pytest.fixture(scope="package")
def checkout() -> Iterator[Checkout]:
    """Files are parsed when they are first looked at. Cycles are not collected meanwhile: every collection would go
    through all the trees, which takes seconds."""
    gc.disable()
    try:
        yield here()
    finally:
        gc.enable()
