"""No module of over 300 lines (400 in tests), no function of over 40: today's exceptions, in ``known/sizes.json``, may
only shrink."""

from __future__ import annotations

from pathlib import Path

from tests.house.checkout import Checkout
from tests.house.exceptions import faults_of_counts, read_table, sizes


def test_modules_and_functions_are_small(checkout: Checkout) -> None:
    known = read_table("sizes")
    assert faults_of_counts(sizes(checkout), known, "sizes", "split it by subject, raise no limit") == []


def test_lines_are_counted(tmp_path: Path) -> None:
    made = {
        "kvproxy/long.py": "def f(\n    a: int,\n) -> int:\n"
        + '    """Return."""\n'
        + "    a += 1\n" * 37
        + "    return a\n",
        "kvproxy/short.py": "class C:\n    def f(self) -> None:\n" + "        pass\n" * 39,
        "kvproxy/large.py": "x = 1\n" * 301,
        "integrations/one/pyproject.toml": "",
        "integrations/one/package/large.py": "x = 1\n" * 301,
        "integrations/one/tests/test_large.py": "x = 1\n" * 400,
        "tests/test_large.py": "x = 1\n" * 401,
    }
    for name, text in made.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert sizes(Checkout(tmp_path)) == {
        "kvproxy/long.py:f": 41,
        "kvproxy/large.py": 301,
        "integrations/one/package/large.py": 301,
        "tests/test_large.py": 401,
    }


def test_a_table_may_only_shrink() -> None:
    known = {"same": 310, "grown": 310, "smaller": 310, "gone": 310}
    found = {"same": 310, "grown": 311, "smaller": 305, "new": 301}
    faults = faults_of_counts(found, known, "sizes", "split it")
    assert [fault.split(":")[0] for fault in faults] == ["new", "grown", "gone is no exception any more"]
    assert "--write-tables sizes" in faults[-1]
