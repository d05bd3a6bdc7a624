"""Results of comparisons: exact only where nothing at all differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.core.page_comparisons import Audit, BadPage, Comparison

SAME = Comparison(600, 3, 3, 40, 40, 40, 0.0, 12, 12)
BAD = BadPage("public", b"k" * 32, 2, 517, 0.0312500001)
PASSED = Audit("r1", 3, 0, (), 40, 40, 0.0, 12, 12)


def test_a_comparison_without_a_difference_is_exact() -> None:
    assert SAME.exact
    assert replace(SAME, pages=0, equal_pages=0).exact, "a prompt that is shorter than a page has none"


@pytest.mark.parametrize("part", ["equal_pages", "equal_positions", "equal_greedy"])
def test_one_difference_ends_exactness(part: str) -> None:
    assert not replace(SAME, **{part: getattr(SAME, part) - 1}).exact


def test_equal_greedy_tokens_do_not_hide_other_logits() -> None:
    assert not replace(SAME, equal_positions=39, equal_argmax=40, largest_difference=1e-7).exact


def test_a_bad_page_is_told_with_its_place_and_difference() -> None:
    assert BAD.note == "page 2 differs from a prefill from position 517 on, by up to 0.03125"
    assert replace(BAD, largest_difference=float("nan")).note.endswith("by up to nan")


def test_an_audit_passes_without_a_difference() -> None:
    assert PASSED.passed
    assert replace(PASSED, missing_pages=2).passed, "a page that was evicted meanwhile says nothing"
    assert not replace(PASSED, bad_pages=(BAD,)).passed, "though the answer was the same"
    assert not replace(PASSED, equal_positions=39).passed
    assert not replace(PASSED, equal_tokens=11).passed
