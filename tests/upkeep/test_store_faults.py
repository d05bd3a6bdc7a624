from __future__ import annotations

from kvproxy.upkeep.store_faults import StoreCheck, StoreFault, StorePart, joined, of_lines

PAGE = StoreFault(StorePart.PAGES, "page\n  1", "drop and recompute", b"k" * 32)


def test_a_fault_is_one_line() -> None:
    assert PAGE.line == "pages: page 1 (drop and recompute)"


def test_checks_of_parts_are_joined_and_a_fault_counts_once() -> None:
    check = StoreCheck((PAGE, PAGE), ("a note",), {"pages": 1})
    both = joined([check, check, StoreCheck((), (), {"responses": 2})])
    assert (both.faults, both.looked) == ((PAGE,), {"pages": 1, "responses": 2})
    assert not both.sound and both.bad_pages == (b"k" * 32,)
    assert joined([]).sound


def test_only_pages_of_files_are_bad_pages() -> None:
    far = StoreFault(StorePart.OBJECTS, "x", "drop and recompute", b"o" * 32)
    assert StoreCheck((far,)).bad_pages == ()
    assert [f.line for f in of_lines(StorePart.RESPONSES, ["r"], "drop").faults] == ["responses: r (drop)"]
