"""The figure of economics: drawn, the same each time, and refused where it cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.bench.plot_economics import plot_economics
from kvproxy.economics.cost_curves import plot_of_document, plot_of_paper
from kvproxy.errors import SetupError
from tests.economics.cases import CASE


def test_the_same_figures_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plot_economics(plot_of_paper(), tmp_path / name)
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn == (tmp_path / "b.svg").read_text()
    for words in ("hosted, list price / 49.7", "KV 36 times smaller", "1.51M", "3.89M", "2.6x"):
        assert words in drawn


def test_a_document_is_drawn(tmp_path: Path) -> None:
    plot_economics(plot_of_document(CASE), tmp_path / "d.svg")
    assert "handbook, 4,000 tokens" in (tmp_path / "d.svg").read_text()


def test_a_file_that_cannot_be_written_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot write"):
        plot_economics(plot_of_paper(), tmp_path / "none" / "d.svg")
