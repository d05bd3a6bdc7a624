from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.core.common_prefix import common_prefix
from kvproxy.engine.cache import siblings
from kvproxy.engine.cache.siblings import Siblings


@dataclass(eq=False)
class Page:
    token_ids: tuple[int, ...]
    page: int | None = None
    fits: bool = True


def made(*pages: Page) -> Siblings[Page]:
    found: Siblings[Page] = Siblings()
    for page in pages:
        found.add(page)
    return found


ids = st.lists(st.integers(0, 2), max_size=6).map(lambda rest: (7, *rest))
pages = st.builds(Page, ids, st.sampled_from([None, 1]), st.booleans())


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(pages, max_size=12), ids)
def test_what_is_found_is_what_looking_at_all_finds(of: list[Page], wanted: tuple[int, ...]) -> None:
    found = made(*of)
    assert set(found.equal(wanted)) == {p for p in of if p.token_ids == wanted}
    shorter = {p for p in of if p.token_ids != wanted and p.token_ids == wanted[: len(p.token_ids)]}
    assert set(found.prefixes(wanted)) == shorter
    best, most = found.closest(wanted, lambda p: p.fits)
    shared = {p: common_prefix(p.token_ids, wanted) for p in of if p.fits}
    assert most == max(shared.values(), default=0)
    if best is None:
        assert not shared
    else:
        assert shared[best] == most
        assert best.page is not None or not any(p.page is not None for p, n in shared.items() if n == most)


def test_one_of_two_equal_pages_is_removed() -> None:
    one, two = Page((1, 2)), Page((1, 2))
    found = made(one, Page((1,)), two, Page((1, 3)))
    found.remove(two)
    assert list(found.equal((1, 2))) == [one] and len(found) == 3
    with pytest.raises(ValueError):
        found.remove(two)


def test_a_search_does_not_grow_with_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public document has thousands of readers with prompts that go on from it with the same tokens."""
    found = made(*(Page((7, 7, 7, i // 100, i % 100)) for i in range(10_000)))
    compared = 0

    def counted(a: tuple[int, ...], b: tuple[int, ...]) -> int:
        nonlocal compared
        compared += 1
        return common_prefix(a, b)

    monkeypatch.setattr(siblings, "common_prefix", counted)
    for wanted in ((7, 7, 7, 50, 50, 1), (7, 7, 7, 50), (7, 7, 9), (7,)):
        compared = 0
        found.closest(wanted, lambda page: True)
        found.prefixes(wanted)
        assert compared <= 80
