"""The units of work that processes of pytest-xdist share out between them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.scheduling import BROWSER, FIRST, OWN_PROXY, SHARED_PROXY, by_cost, unit

ROOT = Path(__file__).parents[1]


def test_a_file_is_a_unit_but_for_those_that_share_a_proxy() -> None:
    assert unit("tests/wire/test_chat.py::test_a[tests/e2e/x]") == "tests/wire/test_chat.py"
    assert unit("tests/e2e/test_hit.py::test_a") == unit("tests/e2e/test_preamble.py::test_b") == SHARED_PROXY
    assert (
        unit("tests/browser/test_by_keyboard.py::test_a")
        == unit("tests/browser/test_b.py::test_b")
        == BROWSER
    )
    assert unit(f"tests/e2e/{OWN_PROXY[0]}.py::test_a") == f"tests/e2e/{OWN_PROXY[0]}.py"


def test_the_files_and_folders_are_there() -> None:
    assert [path for path in FIRST if not (ROOT / path).exists()] == []
    assert [name for name in OWN_PROXY if not (ROOT / SHARED_PROXY / f"{name}.py").is_file()] == []


def test_the_dearest_units_come_first_and_each_stays_in_order() -> None:
    ids = [
        "tests/a/test_a.py::test_2",
        "tests/e2e/test_kill.py::test_1",
        "tests/e2e/test_hit.py::test_2",
        "tests/a/test_a.py::test_1",
        "tests/engine/test_x.py::test_1",
        "tests/e2e/test_a.py::test_1",
    ]
    items: list[Any] = [SimpleNamespace(nodeid=id) for id in ids]
    by_cost(items)
    assert [item.nodeid for item in items] == [ids[2], ids[5], ids[1], ids[4], ids[0], ids[3]]
