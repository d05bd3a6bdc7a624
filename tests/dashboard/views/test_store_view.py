from __future__ import annotations

import pytest

from kvproxy.dashboard.views.store_view import LINES, check_result, damage_lines, tier_rows, veiled
from kvproxy.telemetry.store_state import StoreState, TierState
from kvproxy.upkeep.live_upkeep import EndedCheck
from kvproxy.upkeep.store_faults import StoreCheck, StoreFault, StorePart


def only_handbook(name: str) -> bool:
    return name.startswith("handbook@")


def test_tiers_with_the_used_part_of_their_budgets() -> None:
    state = StoreState(
        (
            TierState("memory", 4, 400, 1000),
            TierState("disk", 9, 900, 600),
            TierState("objects", 70, None, None),
        )
    )
    rows = tier_rows(state)
    assert [row.words for row in rows] == ["Memory", "Local disk", "Object store"]
    assert [row.used for row in rows] == [0.4, 1.0, None]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("handbook@3: 2 pages are not on disk", "handbook@3: 2 pages are not on disk"),
        ("secret/plan@1: 2 pages are not on disk", "(a document of another tenant): 2 pages are not on disk"),
        (
            "aliases: secret/plan@stable means version 4, which is not there (drop)",
            "aliases: (a document of another tenant) means version 4, which is not there (drop)",
        ),
        (
            "page 0a1b, number 0 of handbook@3 (system), is not what its manifest signs",
            "page 0a1b, number 0 of handbook@3 (system), is not what its manifest signs",
        ),
        (
            "documents: notes of tenant:ab has lost its row in documents: damaged (look)",
            "documents: (a document of another tenant) has lost its row in documents: damaged (look)",
        ),
        ("page 0a1b: its checksum differs", "page 0a1b: its checksum differs"),
    ],
)
def test_findings_name_no_document_that_the_caller_may_not_see(line: str, shown: str) -> None:
    assert veiled(line, only_handbook) == shown


def test_the_lines_of_a_check_are_bounded() -> None:
    faults = tuple(StoreFault(StorePart.PAGES, f"page {n} is damaged", "drop") for n in range(LINES + 7))
    found = StoreCheck(faults, ("secret@1: 1 pages are not on disk; computed when needed",), {"pages": 900})
    shown = check_result(EndedCheck(1_800_000_000.0, 1.5, True, found), only_handbook)
    assert (shown.sound, shown.deep, shown.seconds) == (False, True, 1.5)
    assert len(shown.faults) == LINES and shown.left_out == 7
    assert shown.faults[0] == "pages: page 0 is damaged (drop)"
    assert shown.notes == ("(a document of another tenant): 1 pages are not on disk; computed when needed",)
    assert shown.looked == (("pages", 900),)


def test_reports_of_damage_are_bounded_and_veiled() -> None:
    reports = ["documents.damaged-1: secret@2 is not served: damaged", *["x"] * LINES]
    lines = damage_lines(reports, only_handbook)
    assert len(lines) == LINES
    assert lines[0] == "documents.damaged-1: (a document of another tenant) is not served: damaged"
