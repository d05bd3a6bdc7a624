"""The benchmarks on model shapes, on a tiny one: their figures are present, and consistent."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kvproxy.bench.cold import SIZES, bench_cold
from kvproxy.bench.engine.ceilings import Ceilings, CeilingWork, Product
from kvproxy.bench.engine.side_by_side import Case, SideBySideOutcome, Times
from kvproxy.bench.paper import bench_paper
from kvproxy.bench.plot import plot_paper
from kvproxy.bench.readers import bench_readers
from kvproxy.bench.roofline import bench_roofline, rows
from kvproxy.bench.shape_tables import print_paper, print_readers, print_roofline
from kvproxy.cli.app import app
from kvproxy.config import load_config
from kvproxy.core import NANO
from kvproxy.economics.document_case import MarketPrices, measured_size
from kvproxy.errors import SetupError

TINY = "shape:tiny"
PRICES = MarketPrices(input=2 * NANO, egress_gb=NANO // 2)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    return bench_paper(TINY, cache_dir=folder, sizes=(255, 600, 8180), repeats=2, prices=PRICES)


def test_a_hit_of_the_paper_is_a_prefill_to_the_bit(paper: dict[str, Any]) -> None:
    assert [row["tokens"] for row in paper["sizes"]] == [255, 600], "a size that has no room is left out"
    assert paper["left_out"] == [8180]
    assert paper["exact_kernels"]
    for row in paper["sizes"]:
        assert row["largest_difference"] == 0.0
        assert row["equal_greedy"] == row["greedy_tokens"] == 24
        assert row["equal_argmax"] == row["positions"]
    # Behind 127, 254 and (no whole page) 1; behind 300, 511 and 599: up to the last token but one of the answer.
    last = [n + 24 - 1 for n in (255, 600)]
    assert paper["sizes"][0]["positions"] == sum(last[0] - b for b in {127, 254, 1})
    assert paper["sizes"][1]["positions"] == sum(last[1] - b for b in {300, 511, 599})


def test_the_papers_figures_follow_from_each_other(paper: dict[str, Any]) -> None:
    for row in paper["sizes"]:
        # Rounded to two places, of which a tiny model's small ratios have few.
        assert row["ratio_disk"] == pytest.approx(row["prefill_s"] / row["from_disk_s"], rel=0.01, abs=0.006)
        assert row["load_s"] > 0
        assert row["mb_per_token"] == pytest.approx(256 / 1e6, abs=1e-4)
        assert row["egress_of_prefill"] == pytest.approx(256e-9 * 0.5 / 2e-6, abs=0.01)
        assert 0.4 < row["int8_of_plain"] < 0.6 < row["lossless_of_plain"] < 1
        assert row["int8_largest_difference"] > 0
    assert paper["kv_bytes_per_token"] == 256
    size = measured_size(paper, 600)
    assert (size.kv_bytes, float(size.times.prefill_s)) == (600 * 256, paper["sizes"][1]["prefill_s"])


def test_the_paper_prints_and_plots(
    paper: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_paper(paper)
    shown = capsys.readouterr().out
    assert "Too long for the model: 8,180 tokens." in shown
    assert "9x" in shown and "2.6x" in shown and "24/24" in shown and "0.0 at" in shown
    plot_paper(json.loads(json.dumps(paper)), tmp_path / "paper.svg")
    drawn = (tmp_path / "paper.svg").read_text()
    assert drawn.startswith("<?xml") and len(drawn) > 10_000
    plot_paper(paper, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn, "the same figures give the same file"
    with pytest.raises(SetupError, match="cannot write"):
        plot_paper(paper, tmp_path / "missing" / "paper.svg")


@pytest.mark.parametrize(
    ("sizes", "dtype", "said"),
    [
        ((1, 300), "bfloat16", "one token"),
        ((9000,), "bfloat16", "at most 8168 tokens"),
        ((300,), "float16", "there is no dtype float16 here; it is one of bfloat16, float32"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    sizes: tuple[int, ...], dtype: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=said):
        bench_paper(TINY, cache_dir=tmp_path, sizes=sizes, dtype=dtype, repeats=1)


def test_a_file_that_cannot_be_written_is_known_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kvproxy.bench.paper.bench_paper", lambda *_, **__: pytest.fail("it was measured"))
    for option in ("--json", "--plot"):
        for file in (tmp_path, tmp_path / "missing" / "paper"):
            result = CliRunner().invoke(app, ["bench", "paper", "--model", TINY, option, str(file)])
            assert result.exit_code == 2
            assert "cannot write" in result.output


def test_a_plot_without_matplotlib_names_the_extra(
    paper: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SetupError, match=r"kvproxy\[bench\]"):
        plot_paper(paper, tmp_path / "paper.svg")


def test_readers_share_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = bench_readers(
        TINY, cache_dir=tmp_path, readers=(1, 3), document=700, question=9, new=12, repeats=1
    )
    one, three = result["readers"]
    assert (one["readers"], three["readers"]) == (1, 3)
    assert one["of_first"] == 1.0
    assert three["one_after_another_s"] == pytest.approx(3 * one["wall_s"], rel=0.01)
    # Each computes its question alone, in a page of its own: the copy of the document's last one.
    assert (one["computed_tokens"], three["computed_tokens"]) == (9, 27)
    assert (one["pages"], three["pages"]) == (1, 3)
    # Of the cold ones, one computes the document for all.
    assert result["cold"]["computed_tokens"] == 700 + 27
    assert result["ttft"]["ratio"] > 0
    print_readers(result)
    assert "700" in capsys.readouterr().out


def test_rows_of_the_roofline_are_what_was_measured_over_what_is_possible() -> None:
    work = CeilingWork(
        layers=1, heads=1, kv_heads=1, head_dim=4, layer_weights=1000, head_weights=100, item_bytes=2
    )
    ceilings = Ceilings(1e-6, 2e-6, (Product("torch", 1, 1, 1, 1e-6),))
    outcome = SideBySideOutcome(
        Case(10, 3),
        theirs=(Times(50.0, 4.0), Times(60.0, 5.0), Times(55.0, 6.0)),
        ours=(Times(44.0, 2.5), Times(40.0, 2.0), Times(48.0, 3.0)),
    )
    prefill, decode = rows([outcome], work, ceilings, prefill=(10,), decode=(10,))
    assert prefill["bound_s"] == pytest.approx((2 * 1000 * 10 + 4 * 4 * 55 + 200) / 1000)
    assert prefill["of_bound"] == pytest.approx(44 / 21.08, abs=1e-3)
    assert prefill["of_transformers"] == pytest.approx(44 / 55)
    # One token behind the ten: half of those that follow the first.
    assert decode["bound_s"] == pytest.approx((2 * 1100 + 2 * 2 * 4 * 11) / 2000)
    assert decode["of_transformers"] == pytest.approx(2.5 / 5, abs=1e-3)
    assert rows([outcome], work, ceilings, prefill=(), decode=()) == []


def test_a_roofline_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = bench_roofline(
        TINY, cache_dir=tmp_path, prefill=(300, 8190), decode=(80,), new=4, repeats=1, seconds=0.001
    )
    assert [(r["what"], r["tokens"]) for r in result["roofline"]] == [
        ("prefill", 300),
        ("decode, per token", 80),
    ]
    assert all(r["of_bound"] > 1 for r in result["roofline"])
    print_roofline(json.loads(json.dumps(result)))
    assert "GB/s" in capsys.readouterr().out


def test_cold_prompts_of_a_shape_have_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvproxy.bench.cold.SIZES", SIZES[:2])
    result = bench_cold(load_config(None, {"model.path": TINY}), text="", repeats=1)
    assert result["level"] == "engine"
    assert [row["prompt_tokens"] for row in result["cold"]] == [255, 1024]
    assert all(row["kvproxy_s"] > 0 and row["transformers_s"] > 0 for row in result["cold"])
