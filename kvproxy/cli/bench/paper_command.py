"""``kvproxy bench paper``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.economics_inputs import parse_price
from kvproxy.cli.options import BenchModel, can_write, read_sizes, write_whole
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from kvproxy.economics.document_case import MarketPrices


@bench.command("paper")
def bench_paper_command(
    model: BenchModel = "smollm2-135m",
    dtype: Annotated[str, typer.Option(help="bfloat16 or float32.")] = "bfloat16",
    sizes: Annotated[str, typer.Option(help="Tokens of the documents.")] = "255,512,1024,2048,3774",
    repeats: Annotated[int, typer.Option(min=1, help="Take the median of so many.")] = 3,
    input_price: Annotated[str, typer.Option(help="US dollars for a million input tokens.")] = "5",
    egress_price: Annotated[str, typer.Option(help="US dollars for a GB of egress.")] = "0.09",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write an SVG here (extra: bench).")] = None,
) -> None:
    """Repeat the measurements of "Can I Buy Your KV Cache?" (arXiv 2606.13361), each beside the paper's."""
    from kvproxy.bench.paper import bench_paper
    from kvproxy.bench.plot import need_matplotlib, plot_paper
    from kvproxy.bench.shape_tables import print_paper
    from kvproxy.config import default_cache_dir
    from kvproxy.terminal.progress import Progress

    can_write(json_file, plot)
    prices = _prices(input_price, egress_price)
    if plot is not None:
        need_matplotlib()
    with Progress("bench paper", unit="sizes") as progress:
        result = bench_paper(
            model,
            cache_dir=default_cache_dir(),
            dtype=dtype,
            sizes=read_sizes(sizes),
            repeats=repeats,
            prices=prices,
            progress=progress,
        )
    print_paper(result)
    if json_file is not None:
        write_whole(json_file, json.dumps(result, indent=2) + "\n")
    if plot is not None:
        plot_paper(result, plot)


def _prices(input_price: str, egress_price: str) -> MarketPrices:
    from kvproxy.economics.document_case import MarketPrices

    prices = MarketPrices(
        input=parse_price(input_price, "--input-price"), egress_gb=parse_price(egress_price, "--egress-price")
    )
    if prices.input == 0:
        raise SetupError("--input-price is what egress is compared with: give one above 0")
    return prices
