"""``kvproxy bench fleet``."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import can_write, write_whole

KV_BLOCKS = 320
"""Blocks of each replica that is started here, of 32 tokens: little, so that documents are evicted within minutes."""


@bench.command("fleet")
def bench_fleet_command(
    replica: Annotated[
        list[str] | None,
        typer.Option(help="A replica that is there, without /v1; give each of them. Nobody else may use it."),
    ] = None,
    fake: Annotated[int, typer.Option(min=0, max=64, help="Start so many fake replicas instead.")] = 0,
    served_as: Annotated[str, typer.Option(help="The model's name at the replicas.")] = "smollm2-135m",
    model: Annotated[str, typer.Option(help="The model's tokenizer and template.")] = "smollm2-135m",
    vllm: Annotated[
        Path, typer.Option(help="The interpreter of vLLM's environment; without --replica or --fake.")
    ] = Path(".fleet/bin/python"),
    requests: Annotated[int, typer.Option(min=10, help="Measured ones, of each policy.")] = 200,
    documents: Annotated[int, typer.Option(min=2)] = 24,
    at_once: Annotated[int, typer.Option(min=1)] = 4,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
) -> None:
    """Routing by residency over several replicas, beside round robin, sticky sessions and the best possible.

    Without --replica and --fake two vLLM replicas are started, one core each (make .fleet/.ready installs vLLM).
    """
    from kvproxy.bench.fleets.fleet_bench import FleetBenchPlan, bench_fleet, trace_for
    from kvproxy.bench.fleets.fleet_tables import print_fleet
    from kvproxy.bench.fleets.replica_cache import replica_cache
    from kvproxy.bench.server_process import terminated_as_interrupted
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model
    from kvproxy.example_documents import example_text

    can_write(json_file)
    folder = resolve_model(model, cache_dir=default_cache_dir()).path
    with terminated_as_interrupted(), ExitStack() as running:
        urls = list(replica or ()) or _started(running, folder, served_as, fake, vllm)
        trace = trace_for(replica_cache(urls[0]), requests=requests, documents=documents, seed=seed)
        plan = FleetBenchPlan(trace, served_as, folder, at_once)
        result = bench_fleet(plan, words=example_text("gpl-3.txt").split(), replicas=urls, say=_say)
    print_fleet(result)
    if json_file is not None:
        write_whole(json_file, json.dumps(result, indent=2) + "\n")


def _started(running: ExitStack, folder: Path, served_as: str, fake: int, vllm: Path) -> list[str]:
    """Start replicas on this machine, and return their addresses."""
    from kvproxy.bench.fleets.fleet_servers import FakePlan, fake_server_process
    from kvproxy.bench.server_process import started_together
    from kvproxy.bench.vllm_server import VllmPlan, vllm_server

    logs = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="kvproxy-replicas-")))
    if fake:
        plan = FakePlan(served_as, folder, KV_BLOCKS)
        children = [fake_server_process(f"replica-{n}", plan, logs) for n in range(fake)]
    else:
        _say("starting two vLLM replicas, which takes a minute or two")
        cores = [str(n % (os.cpu_count() or 1)) for n in range(2)]
        plans = [VllmPlan(folder, served_as, core, blocks=KV_BLOCKS) for core in cores]
        children = [vllm_server(f"replica-{n}", vllm, plan, logs) for n, plan in enumerate(plans)]
    running.enter_context(started_together(children, _say))
    return [child.url for child in children]


def _say(what: str) -> None:
    typer.echo(what, err=True)
