"""A report on the terminal and as Markdown."""

from __future__ import annotations

import pytest

from kvproxy.economics.paper_economics import paper_report
from kvproxy.terminal.economics_tables import markdown_report, print_report


def test_every_line_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    report = paper_report()
    print_report(report)
    out = capsys.readouterr().out
    for section in report.sections:
        assert section.title in out
        assert all(note in out for note in section.notes)
        assert all(line.name in out and line.text("USD") in out for line in section.lines)


def test_markdown_has_a_row_for_each_line() -> None:
    report = paper_report()
    rows = [row for row in markdown_report(report).splitlines() if row.startswith("| ")]
    lines = sum(len(section.lines) for section in report.sections)
    assert len(rows) == lines + 2 * len(report.sections)
    assert len({row.count(" | ") for row in rows if "---" not in row}) == 1
