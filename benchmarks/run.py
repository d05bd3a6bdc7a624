"""``python -m benchmarks.run``: kvproxy and its peers, one after another, on one machine and one model."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import replace

from benchmarks.client import TEXT, measure, result
from benchmarks.measure import FULL, QUICK, Plan
from benchmarks.options import add_place, existing, read_place, terminate_as_interrupt, writable
from benchmarks.peers import PEERS
from benchmarks.peers.peer import Peer, Place
from benchmarks.report import Report
from benchmarks.server import NotStarted, Server, free_port
from benchmarks.table import tables


def bench(peer: Peer, place: Place, plan: Plan, text: str) -> Report:
    """Install, start, measure and end one peer; failures are in the report's faults."""
    report = Report(name=peer.name, title=peer.title, cold=peer.cold.value)
    try:
        print(f"{peer.name}: install", file=sys.stderr, flush=True)
        peer.install(place)
        print(f"{peer.name}: start", file=sys.stderr, flush=True)
        port = free_port()
        launch = peer.launch(place, port)
        log = place.folder / f"{peer.name}.log"
        with Server(launch, port=port, log=log, start_s=peer.start_s) as server:
            report.start_s = server.took_s
            measuring = measure(
                report,
                url=server.url,
                plan=plan,
                tokenizer=place.model,
                text=text,
                pid=server.pid,
                model=launch.model,
                ignore_eos=peer.ignore_eos,
            )
            asyncio.run(measuring)
    except NotStarted as e:
        report.faults["start"] = str(e)
    except Exception as e:  # whatever a peer does, the others are measured
        report.faults["all"] = f"{type(e).__name__}: {e}"[:300]
    return report


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    names = ", ".join(PEERS)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="NAME", help=names)
    parser.add_argument(
        "--out", type=writable, required=True, help="every figure, as JSON; stdout gets tables"
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, at most 4 minutes for each")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="for each peer once it has started")
    parser.add_argument(
        "--text", type=existing, default=TEXT, help="text to cut documents from; default: the GPL-3"
    )
    add_place(parser)
    args = parser.parse_args(arguments)
    terminate_as_interrupt()
    plan = QUICK if args.quick else FULL
    if args.limit is not None:
        plan = replace(plan, limit_s=args.limit)
    place, text = read_place(args), args.text.read_text(encoding="utf-8")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    reports: list[Report] = []
    for name in args.peers:
        began = time.monotonic()
        reports.append(bench(PEERS[name], place, plan, text))
        found = result(place.model.name, plan, reports)
        # After each, so that a later failure loses nothing.
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(tables(found))
    if any("start" in r.faults or "all" in r.faults for r in reports):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
