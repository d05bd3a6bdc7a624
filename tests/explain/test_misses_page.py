"""docs/misses.md has every cause, with what to do about it."""

from __future__ import annotations

from pathlib import Path

from kvproxy.core import MissCause
from kvproxy.explain.misses_page import page

PAGE = Path(__file__).parents[2] / "docs" / "misses.md"


def test_the_page_is_the_list() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run: python -m kvproxy.explain.misses_page > docs/misses.md"
    )
    rows = [
        line.split("`")[1]
        for line in page().splitlines()
        if line.startswith("| `") and "explain." not in line
    ]
    assert rows == [cause.value for cause in MissCause]
