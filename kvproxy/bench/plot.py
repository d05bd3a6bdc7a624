"""The paper's figure, with ours in it: an SVG. Needs matplotlib, the extra ``bench``."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvproxy.errors import SetupError

_OURS, _DISK, _PAPER = "#0b6e4f", "#c46a00", "#555555"
_BLANK = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def need_matplotlib() -> None:
    """Check that matplotlib is installed, before an hour of measuring. Raises SetupError, naming the extra."""
    if importlib.util.find_spec("matplotlib") is None:
        raise SetupError("--plot needs matplotlib: pip install 'kvproxy[bench]'")


def plot_paper(result: Mapping[str, Any], file: Path) -> None:
    """Seconds of a read on the left, its ratio to a prefill on the right, over the document's length.

    Raises SetupError where matplotlib is missing or the file cannot be written.
    """
    need_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    sizes = [row["tokens"] for row in result["sizes"]]
    with rc_context(
        {"svg.hashsalt": "kvproxy", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        _seconds(left, sizes, result)
        _ratios(right, sizes, result)
        machine = result["machine"]
        figure.suptitle(
            f"{result['model']}, {result['dtype']}: threads {machine['threads']}, {machine['cpu']}, torch "
            f"{machine['torch']}",
            fontsize=10,
        )
        try:
            figure.savefig(file, format="svg", metadata={"Date": None})
        except OSError as e:
            raise SetupError(f"cannot write {file}: {e.strerror}") from e


def _seconds(axes: Any, sizes: list[int], result: Mapping[str, Any]) -> None:
    series = (("prefill", "prefill_s", _PAPER, "s"), ("read from disk", "from_disk_s", _DISK, "^"))
    for name, key, color, marker in (*series, ("read from memory", "resident_s", _OURS, "o")):
        axes.plot(sizes, [row[key] for row in result["sizes"]], color=color, marker=marker, label=name)
    axes.set_yscale("log")
    axes.set_ylabel("seconds to the first token")
    _finish(axes, sizes, "What a read of a document costs")


def _ratios(axes: Any, sizes: list[int], result: Mapping[str, Any]) -> None:
    for name, key, color, marker in (
        ("kvproxy, from memory", "ratio_resident", _OURS, "o"),
        ("kvproxy, from disk", "ratio_disk", _DISK, "^"),
    ):
        values = [row[key] for row in result["sizes"]]
        axes.plot(sizes, values, color=color, marker=marker, label=name)
        axes.annotate(
            f"{values[-1]:.0f}x",
            (sizes[-1], values[-1]),
            (8, 0),
            textcoords="offset points",
            color=color,
            va="center",
            annotation_clip=False,
        )
    paper = {int(n): ratio for n, ratio in result["paper"]["ratio"].items()}
    # Marks without a line: what lies between them is not the paper's.
    axes.plot(list(paper), list(paper.values()), color=_PAPER, marker="x", linestyle="", label="the paper")
    for n, ratio in paper.items():
        last = n == max(paper)  # ours stand to the right of it
        at = {"xytext": (-8, 0), "ha": "right"} if last else {"xytext": (0, 10), "ha": "center"}
        axes.annotate(
            f"{ratio:g}x",
            (n, ratio),
            textcoords="offset points",
            color=_PAPER,
            va="center",
            bbox=_BLANK,
            **at,
        )
    axes.set_ylim(bottom=0)
    axes.margins(y=0.12)
    axes.set_ylabel("prefill / read")
    _finish(axes, sizes, "How many times cheaper than a prefill")


def _finish(axes: Any, sizes: list[int], title: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.minorticks_off()
    axes.set_xlabel("tokens of the document")
    axes.set_title(title, fontsize=11)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)
