"""docs/architecture.md shows the import rules as the tests hold them, and has a sentence for each package."""

from __future__ import annotations

import re

import pytest

from tests.house.import_table import PAGE, levels, with_table
from tests.test_imports import ALLOWED

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_has_the_current_table() -> None:
    assert with_table(TEXT) == TEXT, "run: python -m tests.house.import_table"


def test_every_package_has_a_sentence() -> None:
    described = re.findall(r"^\| `([a-z_.]+)` \| [A-Z`].*\. \|$", TEXT, re.MULTILINE)
    assert sorted(described) == sorted(ALLOWED.keys() - {"", "__main__"})


def test_levels() -> None:
    assert levels({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"c": 0, "b": 1, "a": 2}
    with pytest.raises(ValueError, match="in a circle"):
        levels({"a": {"b"}, "b": {"a"}, "c": set()})
    with pytest.raises(ValueError, match="has no"):
        with_table("a page without marks")
