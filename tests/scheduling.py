"""The units of work that pytest-xdist hands to its processes: a file each, and one for those that share a proxy."""

from __future__ import annotations

from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

SHARED_PROXY = "tests/e2e"
"""Its tests share one proxy on the real model, which takes seconds to start: one process runs them all."""

BROWSER = "tests/browser"
"""Its tests share a proxy and a Chromium."""

OWN_PROXY = (
    "test_audit",
    "test_damaged_files",
    "test_fleet_dialects",
    "test_fleet_faults",
    "test_fleet_kill",
    "test_kill",
    "test_many_readers",
    "test_pressure",
    "test_restart",
)
"""Files of that folder whose tests start a proxy of their own."""

FIRST = (
    SHARED_PROXY,
    BROWSER,
    "tests/clients/test_programs.py",
    "tests/clients/test_langchain_package.py",
    "tests/clients",
    "tests/engine",
)
"""The longest units begin first, so that no process is left with one when the others have ended."""


def unit(nodeid: str) -> str:
    """Return the name of the unit that a test belongs to.

    Example: ``unit("tests/wire/test_chat.py::test_seed") == "tests/wire/test_chat.py"``
    """
    file = nodeid.partition("::")[0]
    if file.startswith(f"{BROWSER}/"):
        return BROWSER
    shared = file.startswith(f"{SHARED_PROXY}/") and Path(file).stem not in OWN_PROXY
    return SHARED_PROXY if shared else file


def by_cost(items: list[pytest.Item]) -> None:
    """Sort collected tests in place, the dearest units first and each unit's tests as they were."""

    def rank(item: pytest.Item) -> tuple[int, str]:
        name = unit(item.nodeid)
        places = [place for place, start in enumerate(FIRST) if name.startswith(start)]
        return (0 if name == SHARED_PROXY else 1 + min(places, default=len(FIRST))), name

    items.sort(key=rank)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """xdist's scheduling of scopes, where a scope is a unit."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
