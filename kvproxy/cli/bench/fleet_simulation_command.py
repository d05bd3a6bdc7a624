"""``kvproxy bench fleet-simulation``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench


@bench.command("fleet-simulation")
def bench_fleet_simulation_command(
    replicas: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Size of a fleet; give each.  [2, 10, 100 and 1000]", show_default=False),
    ] = None,
    requests: Annotated[int, typer.Option(min=20, help="Requests for each replica.")] = 300,
    documents: Annotated[int, typer.Option(min=1, help="Documents in the library.")] = 1_000_000,
    zipf: Annotated[float, typer.Option(min=0, help="Exponent of the documents' popularity.")] = 0.9,
    block: Annotated[int, typer.Option(min=16, help="Tokens of a block.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the traffic.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Small fleets and short runs.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write the figure there, an SVG.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Simulate a fleet with the product's own routing and residency: hits, waits, balance, and replicas that leave."""
    from kvproxy.bench.fleet_simulation.fleet_simulation import SimulationPlan, bench_fleet_simulation
    from kvproxy.bench.fleet_simulation.fleet_traffic import TrafficPlan
    from kvproxy.bench.fleet_simulation.plot_fleet_simulation import plot_fleet_simulation
    from kvproxy.bench.fleet_simulation.simulated_fleet import ReplicaPlan
    from kvproxy.bench.fleet_simulation.simulation_table import print_fleet_simulation
    from kvproxy.bench.plot import need_matplotlib
    from kvproxy.terminal.progress import Progress

    if plot is not None:
        need_matplotlib()
    plan = SimulationPlan(
        sizes=tuple(replicas) if replicas else (2, 10) if quick else (2, 10, 100, 1000),
        requests_per_replica=min(requests, 100) if quick else requests,
        least_requests=2000 if quick else 20_000,
        replica=ReplicaPlan(block_tokens=block),
        traffic=TrafficPlan(documents=documents, zipf=zipf, seed=seed),
    )
    with Progress("bench fleet-simulation", unit="fleets") as progress:
        result = bench_fleet_simulation(plan, progress=progress)
    if plot is not None:
        plot_fleet_simulation(result, plot)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_fleet_simulation(result)
