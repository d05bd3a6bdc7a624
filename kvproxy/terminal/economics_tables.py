"""An economic report for people: a table for each section, on the terminal or as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from kvproxy.terminal.tables import console

if TYPE_CHECKING:
    from kvproxy.economics.economic_lines import EconomicReport


def print_report(report: EconomicReport) -> None:
    """Print a report."""
    out = console()
    out.print(Text(f"{report.title}; amounts in {report.currency}\n", style="bold"))
    for section in report.sections:
        stated = any(line.stated for line in section.lines)
        table = Table(title=section.title, title_justify="left")
        for name in ("", "value", *(["stated"] if stated else []), "formula", "basis", "source"):
            table.add_column(
                name, justify="right" if name in ("value", "stated") else "left", overflow="fold"
            )
        for line in section.lines:
            cells = [line.name, line.text(report.currency), *([line.stated] if stated else [])]
            table.add_row(*(Text(cell) for cell in (*cells, line.formula, line.basis, line.source)))
        out.print(table)
        for note in section.notes:
            out.print(Text(note), soft_wrap=True)
        out.print()


def markdown_report(report: EconomicReport) -> str:
    """Return a report as Markdown: a heading, a table and the notes of each section."""
    found = []
    for section in report.sections:
        found += [f"### {section.title}", "", "| | value | stated | formula | basis | source |"]
        found.append("| --- | ---: | ---: | --- | --- | --- |")
        for line in section.lines:
            cells = (
                line.name,
                line.text(report.currency),
                line.stated,
                line.formula,
                line.basis,
                line.source,
            )
            found.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        found.append("")
        for note in section.notes:
            found += [note, ""]
    return "\n".join(found)
