"""Pictures of the pages: shown with words for who cannot see them, and small."""

from __future__ import annotations

import re

from .pages import PAGES, ROOT, name_of

_SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)]+\.png)\)")
MOST_BYTES = 120_000


def test_each_picture_is_small_and_shown_with_words() -> None:
    shown = {}
    for page in PAGES:
        for words, path in _SHOWN.findall(page.read_text(encoding="utf-8")):
            assert len(words) > 20, f"{name_of(page)}: {path} needs words that stand for it"
            shown[(page.parent / path).resolve()] = name_of(page)
    pictures = set((ROOT / "docs" / "images").glob("*.png"))
    assert pictures and {path.resolve() for path in pictures} == shown.keys()
    assert {path.name: path.stat().st_size for path in pictures if path.stat().st_size > MOST_BYTES} == {}
