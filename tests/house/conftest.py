"""The checkout is read and parsed once for all checks, and freed after the last one of this folder."""

from __future__ import annotations

import pytest

from tests.house.checkout import Checkout, here


@pytest.fixture(scope="package")
def checkout() -> Checkout:
    found = here()
    found.parse()
    return found
