"""``kvproxy bench fleet-overhead``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import can_write, read_text, write_whole

DOCUMENT_CHARACTERS = 4700
"""Some 1,000 tokens of English."""


@bench.command("fleet-overhead")
def bench_fleet_overhead_command(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer requests: a first look.")] = False,
    replica: Annotated[
        list[str] | None,
        typer.Option(help="A replica that is there, without /v1, in place of fakes; give each of them."),
    ] = None,
    served_as: Annotated[str, typer.Option(help="The model's name at the replicas.")] = "smollm2-135m",
    model: Annotated[str, typer.Option(help="The model's tokenizer and template.")] = "smollm2-135m",
    file: Annotated[
        Path | None, typer.Option(help="The document is this text.  [the start of GPL-3]")
    ] = None,
    peers: Annotated[
        Path,
        typer.Option(help="The environment with litellm's proxy and vllm-router; make fleet-peers makes it."),
    ] = Path(".fleet-peers"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
) -> None:
    """Time that a proxy in front of a fleet adds, beside litellm's proxy and vllm-router, on replicas of no time."""
    from kvproxy.bench.fleets import fleet_overhead as overhead
    from kvproxy.bench.fleets.fleet_tables import print_fleet_overhead
    from kvproxy.bench.server_process import terminated_as_interrupted
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model
    from kvproxy.example_documents import example_text
    from kvproxy.terminal.progress import Progress

    can_write(json_file)
    document = example_text("gpl-3.txt")[:DOCUMENT_CHARACTERS] if file is None else read_text(str(file))
    folder = resolve_model(model, cache_dir=default_cache_dir()).path
    found = overhead.OverheadPeers.in_folder(peers)
    with terminated_as_interrupted(), Progress("bench fleet-overhead", unit="series") as progress:
        result = overhead.bench_fleet_overhead(
            overhead.QUICK_OVERHEAD if quick else overhead.OverheadPlan(),
            overhead.OverheadInput(served_as, folder, document, found, tuple(replica or ())),
            progress,
        )
    print_fleet_overhead(result)
    if json_file is not None:
        write_whole(json_file, json.dumps(result, indent=2) + "\n")
