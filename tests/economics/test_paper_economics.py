"""The paper's figures, from its own inputs; and the page that shows them is what the command prints."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from kvproxy.core import NANO
from kvproxy.economics.paper_economics import PAPER_INPUTS, QWEN3_4B_BYTES_PER_TOKEN, paper_report
from kvproxy.terminal.economics_tables import markdown_report

PAGE = Path(__file__).parents[2] / "docs" / "economics.md"


@pytest.mark.parametrize(
    ("name", "value", "within"),
    [
        ("N cold reads", Fraction("1.5") * 10**6 * NANO, Fraction("0.01")),
        ("N reuses by measured compute", Fraction("0.03") * 10**6 * NANO, Fraction("0.02")),
        ("egress of a read", Fraction("0.049") * NANO, Fraction("0.01")),
        ("of the prefill it saves", Fraction("2.6"), Fraction("0.01")),
    ],
)
def test_the_papers_figures_come_out(name: str, value: Fraction, within: Fraction) -> None:
    found = paper_report().line(name).value
    assert found is not None and abs(found / value - 1) <= within


def test_the_figures_to_the_last_digit() -> None:
    report = paper_report()
    assert report.line("N cold reads").value == 80_000_000 * 3774 * 5 * NANO // 10**6 == 1_509_600 * NANO
    assert report.line("N reuses by measured compute").value == 1_509_600 * NANO / Fraction("49.7")
    assert report.line("egress of a read").value == Fraction("0.0486") * NANO
    assert report.line("lossless size that shipping needs").value == 100 * Fraction("0.01887") / Fraction(
        "0.0486"
    )


def test_what_the_notes_say_of_it_is_so() -> None:
    """The notes have numbers in their text: each is computed here."""
    report = paper_report()
    text = " ".join(note for section in report.sections for note in section.notes)
    between = report.line("between the two").value
    assert between is not None and 2 * 10**6 * NANO / between == pytest.approx(17, abs=0.5)
    assert "$0.12M" in text and round(between / NANO / 10**6, 2) == Fraction("0.12")
    per_token = PAPER_INPUTS.bytes_per_token * PAPER_INPUTS.tokens
    assert "0.559 GB (0.545" in text
    assert round(per_token / 1e9, 3) == 0.559 and int(per_token / 1.024e9 * 1000) == 545
    assert QWEN3_4B_BYTES_PER_TOKEN == 147_456 and "147,456 B for a token: 0.556 GB, $0.0501, 2.65x" in text
    shape = report.line("egress of a read, Qwen3-4B's shape").value
    assert shape is not None and round(shape / NANO, 4) == Fraction("0.0501")
    factors = [report.line(f"of the prefill it saves, KV {n} times smaller").value for n in (13, 36)]
    assert [f"{float(f or 0):.1g}" for f in factors] == ["0.2", "0.07"]


def test_list_prices_are_told_from_measurements() -> None:
    bases = {line.name: line.basis for section in paper_report().sections for line in section.lines}
    assert bases["N cold reads"] == bases["egress of a read"] == "list price"
    assert bases["prefill / reuse"] == "measured"
    assert bases["N reuses by measured compute"] == "list price and measured"


def test_the_page_has_the_current_tables() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert markdown_report(paper_report()) in page, (
        "kvproxy economics --paper --markdown, into docs/economics.md"
    )
