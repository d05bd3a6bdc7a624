"""The figure of ``kvproxy bench fleet-simulation``: an SVG. Needs matplotlib, the extra ``bench``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kvproxy.bench.fleet_simulation.simulation_table import ROUTER_NAMES
from kvproxy.bench.plot import need_matplotlib
from kvproxy.errors import SetupError

_COLORS = {
    "round_robin": "#999999",
    "least_load": "#3a6ea5",
    "sticky_sessions": "#c46a00",
    "kvproxy": "#0b6e4f",
}
_MARKS = {"round_robin": "x", "least_load": "v", "sticky_sessions": "^", "kvproxy": "o"}


def plot_fleet_simulation(result: Mapping[str, Any], file: Path) -> None:
    """Draw hit rate and TTFT p99 over the number of replicas, and the hit rate over time as a tenth leaves.

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
        figure = Figure(figsize=(13, 4.4), layout="constrained")
        hits, waits, leaving = figure.subplots(1, 3)
        _hits(hits, result["fleets"])
        _waits(waits, result["fleets"])
        _after_leaving(leaving, result["fleets"])
        try:
            figure.savefig(file, format=file.suffix.lstrip(".") or "svg", metadata={"Date": None})
        except OSError as e:
            raise SetupError(f"cannot write {file}: {e.strerror}") from e


def _hits(axes: Any, fleets: Sequence[Mapping[str, Any]]) -> None:
    sizes = [fleet["replicas"] for fleet in fleets]
    best = [fleet["best_hit_rate"] for fleet in fleets]
    axes.plot(sizes, best, color="#222222", linestyle=":", label="best possible")
    _routers(axes, fleets, "hit_rate")
    axes.set_ylim(0, 1)
    axes.set_ylabel("cached share of prompt tokens")
    _finish(axes, sizes, "Hit rate")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=9)


def _waits(axes: Any, fleets: Sequence[Mapping[str, Any]]) -> None:
    _routers(axes, fleets, "first_token_p99_s")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("seconds")
    _finish(axes, [fleet["replicas"] for fleet in fleets], "TTFT, 99th percentile")


def _routers(axes: Any, fleets: Sequence[Mapping[str, Any]], figure: str) -> None:
    sizes = [fleet["replicas"] for fleet in fleets]
    for router, name in ROUTER_NAMES.items():
        values = [fleet["routers"][router][figure] for fleet in fleets]
        axes.plot(sizes, values, color=_COLORS[router], marker=_MARKS[router], label=name)


def _after_leaving(axes: Any, fleets: Sequence[Mapping[str, Any]]) -> None:
    shown = [fleet for fleet in fleets if fleet["leaving"]]
    for fleet, style in zip(shown, ("-", "--", ":", "-."), strict=False):
        windows = fleet["leaving"]["windows"]
        total = fleet["seconds"]
        axes.plot(
            [window["at_s"] / total for window in windows],
            [window["hit_rate"] for window in windows],
            color=_COLORS["kvproxy"],
            linestyle=style,
            label=f"{fleet['replicas']:,} replicas",
        )
        whole = [window["hit_rate"] for window in fleet["leaving"]["undisturbed"]]
        times = [window["at_s"] / total for window in windows]
        axes.plot(times, whole, color="#999999", linestyle=style, linewidth=1)
    axes.axvline(0.5, color="#999999", linewidth=1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("share of the run")
    axes.set_title("Hit rate as a tenth breaks (grey: none does)", fontsize=11)
    axes.grid(axis="y", alpha=0.3)
    if shown:
        axes.legend(frameon=False, loc="lower right")


def _finish(axes: Any, sizes: Sequence[int], title: str) -> None:
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.minorticks_off()
    axes.set_xlabel("replicas")
    axes.set_title(title, fontsize=11)
    axes.grid(axis="y", alpha=0.3)
