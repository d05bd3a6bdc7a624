"""The figure of ``kvproxy economics``: an SVG. Needs matplotlib, the extra ``bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvproxy.bench.plot import need_matplotlib
from kvproxy.economics.cost_curves import EconomicPlot
from kvproxy.errors import SetupError

_COLORS = ("#555555", "#c46a00", "#0b6e4f", "#3a6ea5")
_STYLES = ("-", "-", "-", "--")


def plot_economics(plot: EconomicPlot, file: Path) -> None:
    """Draw money over reads on the left, egress over the prefill it saves on the right.

    Raises SetupError where matplotlib is missing or the file cannot be written.
    """
    need_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings: dict[str, Any] = {
        "svg.hashsalt": "kvproxy",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(settings):  # type: ignore[arg-type]  # its stub wants the names of settings as literals
        figure = Figure(figsize=(10.5, 4.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _curves(left, plot)
        _bars(right, plot)
        figure.suptitle(plot.title, fontsize=10)
        try:
            figure.savefig(file, format=file.suffix.lstrip(".") or "svg", metadata={"Date": None})
        except OSError as e:
            raise SetupError(f"cannot write {file}: {e.strerror}") from e


def _curves(axes: Any, plot: EconomicPlot) -> None:
    reads = _reads(plot.readers)
    for curve, color, style in zip(plot.curves, _COLORS, _STYLES, strict=False):
        axes.plot(reads, [curve.at(n) for n in reads], color=color, linestyle=style, label=curve.name)
        axes.annotate(
            _short(curve.at(plot.readers)),
            (plot.readers, curve.at(plot.readers)),
            (5, 0),
            textcoords="offset points",
            color=color,
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("reads")
    axes.set_ylabel(plot.currency)
    axes.set_title("What N reads come to", fontsize=11)
    axes.grid(alpha=0.3)
    # Below the axes: the lines leave no corner that holds four names at every price.
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=9)


def _bars(axes: Any, plot: EconomicPlot) -> None:
    names = [bar.name for bar in plot.bars]
    factors = [bar.factor for bar in plot.bars]
    colors = [_COLORS[1] if factor > 1 else _COLORS[2] for factor in factors]
    drawn = axes.barh(names, factors, color=colors, height=0.55)
    axes.bar_label(drawn, [f"{factor:.2g}x" for factor in factors], padding=4)
    axes.axvline(1, color=_COLORS[0], linestyle=":")
    axes.annotate(
        "pays below 1",
        (1, 0.02),
        (4, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        color=_COLORS[0],
        fontsize=9,
    )
    axes.invert_yaxis()
    axes.set_xlim(0, max([1.5, *factors]) * 1.2)
    axes.set_xlabel("egress of a read / the prefill it saves, list prices")
    axes.set_title("Shipped", fontsize=11)


def _short(money: float) -> str:
    for size, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if money >= size:
            return f"{money / size:.3g}{mark}"
    return f"{money:.3g}"


def _reads(most: int) -> list[int]:
    """Return numbers of reads from 1 to ``most``, a few for each power of ten."""
    found, n = {1, most}, 1
    while n < most:
        found |= {n * factor for factor in (1, 2, 5) if n * factor <= most}
        n *= 10
    return sorted(found)
