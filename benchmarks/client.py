"""``python -m benchmarks.client URL``: measure any server that speaks OpenAI's API; needs httpx, psutil, tokenizers."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from benchmarks.chat import Refused, open_endpoint
from benchmarks.measure import FULL, QUICK, Measurement, Plan
from benchmarks.options import existing, writable
from benchmarks.prompts import Cold, Count
from benchmarks.report import Report, machine
from benchmarks.table import tables

TEXT = Path(__file__).parent.parent / "examples" / "documents" / "gpl-3.txt"


def counter(tokenizer: Path) -> Count:
    """``tokenizer`` is a model's folder or its tokenizer.json."""
    file = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
    loaded = Tokenizer.from_file(str(file))
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


async def measure(
    report: Report,
    *,
    url: str,
    plan: Plan,
    tokenizer: Path,
    text: str,
    pid: int | None = None,
    model: str | None = None,
    key: str = "none",
    ignore_eos: bool = False,
) -> None:
    """Measure a server into ``report``; ``report.cold`` is the way to force a cold read. ``url`` ends in ``/v1``."""
    report.load = os.getloadavg()[0]
    extra: dict[str, Any] = {"ignore_eos": True} if ignore_eos else {}
    try:
        async with open_endpoint(url, model=model, key=key, extra=extra) as endpoint:
            measurement = Measurement(
                endpoint=endpoint,
                plan=plan,
                cold=Cold(report.cold),
                text=text,
                count=counter(tokenizer),
                report=report,
                pid=pid,
                say=lambda stage: print(f"{report.name}: {stage}", file=sys.stderr, flush=True),
            )
            await measurement.run()
    except Refused as e:
        report.faults["all"] = str(e)


def result(model: str, plan: Plan, reports: list[Report]) -> dict[str, Any]:
    """Return the run as it is written to JSON, and shown by ``benchmarks.table``."""
    return {
        "machine": machine(),
        "model": model,
        "plan": asdict(plan),
        "servers": [r.as_json() for r in reports],
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client", description=__doc__)
    parser.add_argument("url", help="OpenAI base URL, e.g. http://127.0.0.1:8321/v1")
    parser.add_argument(
        "--tokenizer", type=existing, required=True, help="the model's folder or tokenizer.json"
    )
    parser.add_argument("--model", help="name of the model; default: the first that the server lists")
    parser.add_argument("--key", default="none", help="API key")
    parser.add_argument(
        "--text", type=existing, default=TEXT, help="text to cut documents from; default: the GPL-3"
    )
    parser.add_argument("--pid", type=int, help="the server's, to measure its memory")
    parser.add_argument(
        "--cold", type=Cold, choices=list(Cold), default=Cold.SALT_LINE, help="the way to force a cold read"
    )
    parser.add_argument("--ignore-eos", action="store_true", help="answers of full length; not all know it")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, at most 4 minutes")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write every figure there")
    args = parser.parse_args(arguments)
    plan = QUICK if args.quick else FULL
    report = Report(name=args.url, cold=args.cold.value)
    text = args.text.read_text(encoding="utf-8")
    asyncio.run(
        measure(
            report,
            url=args.url,
            plan=plan,
            tokenizer=args.tokenizer,
            text=text,
            pid=args.pid,
            model=args.model,
            key=args.key,
            ignore_eos=args.ignore_eos,
        )
    )
    found = result(args.model or args.tokenizer.name, plan, [report])
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(tables(found))
    if "all" in report.faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
