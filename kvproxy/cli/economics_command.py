"""``kvproxy economics``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvproxy.cli.options import BenchModel, ConfigFile, StoreFolder, can_write, read_config
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from kvproxy.economics.cost_curves import EconomicPlot
    from kvproxy.economics.economic_lines import EconomicReport

Document = Annotated[
    str | None,
    typer.Argument(help="A document of the running proxy, or of the ledger: handbook, handbook@3."),
]
Readers = Annotated[int | None, typer.Option(min=1, help="N.  [with --from-ledger: those booked]")]
Tokens = Annotated[int | None, typer.Option(min=2, help="Of a document that is not published.  [1024]")]
Price = Annotated[str, typer.Option(help="List price of a million input tokens.")]
Egress = Annotated[str, typer.Option(help="List price of a GB of traffic to the reader.")]
Storage = Annotated[str, typer.Option(help="List price of a GB kept for a month.")]
Hour = Annotated[
    str | None, typer.Option(help="Price of an hour of this machine; without it, none is assumed.")
]
Terms = Annotated[
    str | None, typer.Option(help="The publisher's price: free, 30% or 0.002 for a thousand tokens.")
]
TariffPath = Annotated[
    Path | None, typer.Option("--tariff", help="A tariff file.  [the config's, or the recorded]")
]
SoldAs = Annotated[str | None, typer.Option(help="The model's name in the tariff.  [--model]")]
Measured = Annotated[
    Path | None, typer.Option(help="The JSON of kvproxy bench paper; without it, one size is measured now.")
]
FromLedger = Annotated[bool, typer.Option("--from-ledger", help="Add what the ledger has booked.")]
Paper = Annotated[bool, typer.Option("--paper", help="The paper's figures, from its own inputs.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Markdown instead of tables.")]
Plot = Annotated[Path | None, typer.Option(help="Write an SVG here too (extra: bench).")]
Url = Annotated[str, typer.Option(envvar="KVPROXY_URL", help="The running proxy.")]
Key = Annotated[str | None, typer.Option("--api-key", envvar="KVPROXY_API_KEY", help="If it asks for one.")]


def economics(
    document: Document = None,
    readers: Readers = None,
    tokens: Tokens = None,
    price: Price = "5",
    egress: Egress = "0.09",
    storage: Storage = "0.023",
    hour: Hour = None,
    terms: Terms = None,
    tariff: TariffPath = None,
    sold_as: SoldAs = None,
    measured: Measured = None,
    model: BenchModel = "smollm2-135m",
    from_ledger: FromLedger = False,
    paper: Paper = False,
    as_json: AsJson = False,
    markdown: Markdown = False,
    plot: Plot = None,
    config: ConfigFile = None,
    store: StoreFolder = None,
    url: Url = "http://127.0.0.1:8321",
    api_key: Key = None,
) -> None:
    """Compute what N cold reads of a document cost, and N reuses, hosted and shipped; and each party's margin.

    Example: kvproxy economics handbook --readers 10000 --terms 30%
    """
    from kvproxy.cli.economics_report import EconomicQuestion, paper_answer, report_of

    can_write(plot)
    if paper:
        _show(*paper_answer(), as_json=as_json, markdown=markdown, plot=plot)
        return
    if readers is None and not from_ledger:
        raise typer.BadParameter("give --readers N, or --from-ledger, or --paper")
    given = EconomicQuestion(document, readers, tokens, price, egress, storage, hour, terms, tariff)
    given = replace(given, measured=measured, model=model, sold_as=sold_as, from_ledger=from_ledger)
    settings = read_config(config, store__path=store)
    _show(*report_of(given, settings, url, api_key), as_json=as_json, markdown=markdown, plot=plot)


def _show(
    report: EconomicReport, drawn: EconomicPlot, *, as_json: bool, markdown: bool, plot: Path | None
) -> None:
    from kvproxy.terminal.economics_tables import markdown_report, print_report

    if as_json and markdown:
        raise SetupError("--json and --markdown are two ways to write the same; take one")
    if plot is not None:
        from kvproxy.bench.plot_economics import plot_economics

        plot_economics(drawn, plot)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    elif markdown:
        typer.echo(markdown_report(report), nl=False)
    else:
        print_report(report)
