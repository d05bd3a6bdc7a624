"""Measures a checkout of this project: sizes, names, prose, imports, and the ways of a request and an engine step.

``python -m tests.house.measure_house [--root DIR] [--json]`` prints the table, then each way's ordered stays.
``--no-trace`` leaves the ways out, which takes seconds rather than half a minute. ``--write-tables`` writes today's
exceptions of the checks beside this file anew (all of them, or those that are named), for after files have moved.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from .checkout import Checkout, here
from .exceptions import TABLES, write_table
from .measures import Figures, static_figures
from .ways import Way, compact, traced


def main() -> None:
    options = _options()
    checkout = here() if options.root is None else Checkout(options.root.resolve())
    if options.write_tables is not None:
        _say(write_table(name, checkout) for name in options.write_tables or TABLES)
        return
    figures = static_figures(checkout)
    ways = {} if options.no_trace else traced(checkout.root)
    if options.json:
        _say([json.dumps({"figures": figures, "ways": ways}, indent=1)])
    else:
        _say(table(figures))
        _say(listed(ways))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.house.measure_house", description=__doc__)
    parser.add_argument("--root", type=Path, help="the checkout to measure; this one by default")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--no-trace", action="store_true", help="leave out the traced ways")
    parser.add_argument(
        "--write-tables", nargs="*", choices=sorted(TABLES), metavar="TABLE", help=", ".join(TABLES)
    )
    return parser.parse_args()


def table(figures: Mapping[str, Figures]) -> Iterable[str]:
    """Lines: a figure by row, a package by column."""
    packages = [name for name in figures if name != "whole"]
    yield "".join([f"{'':46}", *(f"{name.removeprefix('integrations/'):>15}" for name in packages)])
    for row in dict.fromkeys(key for name in packages for key in figures[name]):
        cells = (figures[name].get(row, "") for name in packages)
        yield "".join([f"{row:46}", *(f"{cell:>15}" for cell in cells)])
    for row, value in figures["whole"].items():
        yield f"{row:46}{value:>15}"


def listed(ways: Mapping[str, Way]) -> Iterable[str]:
    """Lines: the counts of each way, then its stays in order (``->`` by a call, ``<-`` by a return)."""
    for name, counts in compact(ways).items():
        yield f"{name:46}" + ", ".join(f"{key} {value}" for key, value in counts.items())
    for name, found in ways.items():
        yield from ("", f"{name}:", *(f"{i:4} {stay}" for i, stay in enumerate(found["list"], 1)))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
