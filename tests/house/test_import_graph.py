"""The graph of imports, and the figures made of it and of the files, on a made checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.checkout import Checkout
from tests.house.import_graph import cycles, edges, grouped, import_graph, levels
from tests.house.measures import static_figures

MADE = {
    "kvproxy/__init__.py": "",
    "kvproxy/core.py": "X: int = 1\n",
    "kvproxy/engine/__init__.py": "",
    "kvproxy/engine/build.py": "from kvproxy.engine.cache import pool\nfrom kvproxy.engine.cache.pool import Pool\n",
    "kvproxy/engine/cache/__init__.py": "",
    "kvproxy/engine/cache/pool.py": "import json\nfrom kvproxy import core\n\nclass Pool: ...\n",
    "kvproxy/engine/cache/index.py": "def f(a: int, b, *, c: int) -> None:\n    import kvproxy.engine.cache.pool\n",
    "integrations/one/pyproject.toml": "",
    "integrations/one/one/__init__.py": "from .a import x\n",
    "integrations/one/one/a.py": "if True:\n    from . import b\n",
    "integrations/one/one/b.py": "x = 1\n",
    "tests/engine/test_pool.py": "x = 1\n" * 11,
}


@pytest.fixture
def made(tmp_path: Path) -> Checkout:
    for name, text in MADE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return Checkout(tmp_path)


def test_imports_are_edges_between_modules(made: Checkout) -> None:
    graph = import_graph(made.packages["kvproxy"])
    assert graph["kvproxy.engine.build"] == {"kvproxy.engine.cache.pool"}
    assert graph["kvproxy.engine.cache.pool"] == {"kvproxy.core"}
    assert graph["kvproxy.engine.cache.index"] == {"kvproxy.engine.cache.pool"}
    assert grouped(graph, "kvproxy.engine") == {"build": {"cache"}, "cache": set()}


def test_relative_imports_count(made: Checkout) -> None:
    assert import_graph(made.packages["integrations/one"]) == {
        "one": {"one.a"},
        "one.a": {"one.b"},
        "one.b": set(),
    }


def test_levels_and_cycles() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": set(), "e": {"d"}}
    assert cycles(graph) == [["b", "c"]]
    assert levels(graph) == 3  # a; b with c; d
    assert edges(graph) == 5
    assert (cycles({"a": {"b"}, "b": set()}), levels({"a": {"b"}, "b": set()})) == ([], 2)


def test_figures(made: Checkout) -> None:
    figures = static_figures(made)
    proxy = figures["kvproxy"]
    assert (proxy["files"], proxy["functions"], proxy["arguments annotated, %"]) == (7, 1, 66.7)
    assert (proxy["import edges"], proxy["import levels"], proxy["import cycles"]) == (3, 3, 0)
    assert (proxy["engine, packages"], proxy["engine, package edges"], proxy["engine, package levels"]) == (
        2,
        1,
        2,
    )
    assert proxy["engine, tests/source"] == round(11 / 8, 2)
    assert figures["whole"]["test files"] == 1


def test_no_modules_import_each_other(checkout: Checkout) -> None:
    graphs = {name: import_graph(files) for name, files in checkout.packages.items()}
    assert {name: cycles(graph) for name, graph in graphs.items()} == {name: [] for name in graphs}
