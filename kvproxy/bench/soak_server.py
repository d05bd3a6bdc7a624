"""``python -m kvproxy.bench.soak_server CONFIG RESULT ANNOUNCE_FILE``: ``kvproxy serve``, which at its end audits
its pages and writes down the findings."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvproxy.bench.server_process import announce_to
from kvproxy.config import load_config
from kvproxy.serve import run_server
from kvproxy.stack.open_stack import Stack

SETTLE_S = 10.0
"""Seconds for readers that left with the last requests, and for pages that are still being written."""


async def audit(stack: Stack, result: Path) -> None:
    """Count the holders of every page anew and write the differences to ``result``."""
    found = await _audit(stack)
    await asyncio.to_thread(result.write_text, json.dumps(found), encoding="utf-8")


async def _audit(stack: Stack) -> dict[str, Any]:
    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        seen = stack.local.occupancy()
        if seen.held == seen.evictable + seen.pinned:
            break
        await asyncio.sleep(0.05)
    seen = stack.local.occupancy()
    faults = await stack.local.check()
    if seen.held != seen.evictable + seen.pinned:
        faults.append(f"{seen.held - seen.evictable - seen.pinned} pages are in use, and nobody is left")
    return {"faults": faults, "occupancy": asdict(seen)}


def main(config: Path, result: Path, announce_file: Path) -> int:
    """Serve, then audit the pages and write the findings to ``result``. Returns the exit status.

    Example: ``main(config, result, announce_file)``
    """
    return run_server(
        load_config(config),
        announce=announce_to(announce_file),
        progress=lambda done, total: None,
        ended=lambda stack: audit(stack, result),
    )


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:4])))
