from __future__ import annotations

import re

import pytest

from kvproxy.config import NAMED_OPENINGS
from kvproxy.wire.bodies.request_reading import LENIENT
from kvproxy.wire.openings.opening_rules import NAMED, glob


def takes(pattern: re.Pattern[str], line: str) -> bool:
    """Whether the rule takes the line, and exactly it."""
    match = pattern.match(line + "\nYou are a helpful assistant.")
    return match is not None and match[0].rstrip() == line.rstrip()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("date", "Today's date is 2026-11-29."),
        ("date", "Today\u2019s date: Sun Nov 29 2026"),
        ("date", "Today is Sunday, November 29, 2026"),
        ("date", "The current date is 29 November 2026."),
        ("date", "Current date: 2026-11-29"),
        ("date", "**Current date:** 2026-11-29"),
        ("date", "# Today's date: 11/29/2026"),
        ("date", "- Date: 2026-11-29 (Sunday)"),
        ("date", "2026-11-29"),
        ("date", "[2026-11-29 10:15:00 UTC]"),
        ("date", "Sunday, 29 November 2026"),
        ("date", "Sun Nov 29 10:15:00 2026"),
        ("date", "2026-11-29T10:15:00Z"),
        ("time", "Current time: 10:15"),
        ("time", "Current date and time: 2026-11-29 10:15"),
        ("time", "The current time is 10:15 AM."),
        ("time", "Current time (UTC): 2026-11-29T10:15:00Z"),
        ("time", "current_datetime: 2026-11-29T10:15"),
        ("time", "It is now 10:15 in Berlin."),
        ("time", "Timestamp: 1795915039"),
        ("session", "Session ID: 4276188d-0abd-4aed-a46d-c005077b1268"),
        ("session", "conversation_id = abc123"),
        ("session", "**Request ID:** 17"),
        ("env", "<env>\n  Working directory: /a\n  Today's date: 2026-11-29\n</env>"),
        ("env", "<environment_context>\n  <cwd>/a</cwd>\n</environment_context>"),
    ],
)
def test_lines_that_a_name_takes(name: str, line: str) -> None:
    assert takes(NAMED[name], line)
    assert [other for other in NAMED if takes(NAMED[other], line)] == [name], "one rule names it"


@pytest.mark.parametrize(
    "line",
    [
        "You are a helpful assistant. Today's date is 2026-11-29.",
        "Today is a good day to be helpful.",
        "Date: as the user gives it",
        "The date of the treaty, 1648, is important.",
        "Session IDs are secret.",
        "It is important to know 5 things.",
        "2026-11-29 was a Sunday.",
        "Time is money.",
        "<env>never closed",
        "<environs>1</environs>",
        "",
    ],
)
def test_lines_that_no_name_takes(line: str) -> None:
    assert [name for name in NAMED if takes(NAMED[name], line)] == []


def test_the_config_has_the_same_names() -> None:
    assert set(NAMED_OPENINGS) == set(NAMED)


@pytest.mark.parametrize(
    ("pattern", "line", "taken"),
    [
        ("x-anthropic-billing-header: *", "x-anthropic-billing-header: cc_version=2.1; cch=0;", True),
        ("x-anthropic-billing-header: *", "  X-Anthropic-Billing-Header: a", True),
        ("x-anthropic-billing-header: *", "x-anthropic-billing-header:", False),
        (LENIENT.client_metadata[0], "x-anthropic-billing-header:cc_version=2", True),
        (LENIENT.client_metadata[0], "x-anthropic-billing-headers", False),
        ("x-anthropic-billing-header: *", "About x-anthropic-billing-header: a", False),
        ("build *, host *.", "build 17, host a.b.c.", True),
        ("build *, host *.", "build 17, host a", False),
        ("*secret*", "a secret b", True),
        ("exact", "exact", True),
        ("exact", "exactly", False),
        ("a.c (x)", "abc (x)", False),
    ],
)
def test_patterns_in_the_operators_words(pattern: str, line: str, taken: bool) -> None:
    assert takes(glob(pattern), line) is taken


def test_a_long_line_costs_its_length() -> None:
    """With many stars too: backtracking over them would take years."""
    line = "a" * 200_000
    assert glob("*a*a*a*a*a*a*b").match(line) is None
    assert all(rule.match(line) is None for rule in NAMED.values())
    assert all(rule.match("<env>" * 50_000) is None for rule in NAMED.values())
