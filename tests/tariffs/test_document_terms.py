"""Terms of documents: what each kind needs, and ids that follow from the content."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.tariffs import FREE, DocumentTerms


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "rent"}, "write free, share or fixed"),
        ({"text_readers": "none"}, "write discount or full_price"),
        ({"kind": "share", "share_ppm": 10**6 + 1}, "share_ppm is 1000001"),
        ({"publisher_ppm": 0.5}, "publisher_ppm is 0.5"),
        ({"kind": "fixed", "nano_per_1000": -1}, "nano_per_1000 is -0.000000001"),
        ({"kind": "fixed", "share_ppm": 1}, "share_ppm does nothing"),
        ({"nano_per_1000": 1}, "nano_per_1000 does nothing"),
    ],
)
def test_wrong_terms_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DocumentTerms(**wrong)


def test_an_id_follows_from_the_content() -> None:
    assert FREE.id == DocumentTerms().id and len(FREE.id) == 64
    terms = [FREE, DocumentTerms(kind="share"), DocumentTerms(publisher_ppm=1), DocumentTerms(kind="fixed")]
    assert len({one.id for one in terms}) == 4


def test_terms_come_back_from_their_json() -> None:
    terms = DocumentTerms(kind="fixed", nano_per_1000=7, publisher_ppm=5, text_readers="full_price")
    assert DocumentTerms.from_json(terms.as_json()) == terms
