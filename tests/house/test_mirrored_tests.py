"""Each module of over 60 lines has a test of its name, or stands in ``known/mirrors.json`` with the test that covers
it. The table may only shrink; after moves, ``--write-tables mirrors`` writes it anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.checkout import Checkout
from tests.house.exceptions import read_table
from tests.house.mirror import Coverage, mirror_faults, mirror_table


def test_each_large_module_has_its_test(checkout: Checkout) -> None:
    assert list(mirror_faults(checkout, read_table("mirrors"))) == []


MADE = {
    "kvproxy/__init__.py": "",
    "kvproxy/large.py": "x = 1\n" * 61,
    "kvproxy/own.py": "x = 1\n" * 61,
    "kvproxy/small.py": "from kvproxy.large import x\n",
    "tests/helper.py": "import kvproxy.small\n",
    "tests/test_own.py": "",
    "tests/test_others.py": "from tests.helper import x\n",
    "tests/test_process.py": "ran = ['-m', 'kvproxy.small']\n",
}


@pytest.fixture
def made(tmp_path: Path) -> Checkout:
    for name, text in MADE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return Checkout(tmp_path)


def test_imports_are_followed_through_helpers_of_tests(made: Checkout) -> None:
    coverage = Coverage(made)
    assert coverage.distance("tests/test_others.py", "kvproxy.large") == 3
    assert coverage.distance("tests/test_process.py", "kvproxy.small") == 1
    assert coverage.distance("tests/test_own.py", "kvproxy.large") is None


def test_the_nearest_test_is_the_one_that_covers(made: Checkout) -> None:
    assert mirror_table(made) == {"kvproxy/large.py": "tests/test_process.py"}


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({}, "tests/test_large.py: write it"),
        ({"kvproxy/large.py": "tests/test_nowhere.py"}, "does not exist"),
        ({"kvproxy/large.py": "tests/test_own.py"}, "does not import it"),
        (
            {"kvproxy/large.py": "tests/test_others.py", "kvproxy/own.py": "tests/test_own.py"},
            "no entry any more",
        ),
    ],
)
def test_a_wrong_table_is_noticed(made: Checkout, table: dict[str, str], fault: str) -> None:
    assert [fault in found for found in mirror_faults(made, table)] == [True]
