"""Every cause of a miss has a remedy."""

from __future__ import annotations

from kvproxy.core import MissCause
from kvproxy.core.miss_remedies import REMEDIES


def test_every_cause_has_a_remedy_in_a_clause() -> None:
    assert set(REMEDIES) == set(MissCause)
    for remedy in REMEDIES.values():
        for words in (remedy.meaning, remedy.do):
            assert words and not words.endswith(".") and "|" not in words and "\n" not in words
