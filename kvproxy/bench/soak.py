"""``kvproxy bench soak``: overload for minutes; memory, pages and reservations after it."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from kvproxy.bench import soak_server
from kvproxy.bench.machine import machine
from kvproxy.bench.overload import Crowd, Tally, overload
from kvproxy.bench.server_process import Child, announced
from kvproxy.client import Client
from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.models.footprint import read_footprint
from kvproxy.terminal.tables import console

FIRST_S = 60.0
"""Seconds after which memory is read for the comparison; half of a run that is shorter than twice that."""
WINDOW_S = 10.0
"""Memory at a moment is the median of the samples of so long before it."""
MOST_GROWTH = 0.05
MODEL = "soak"


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """``clients`` must be more than ``running + waiting``. Pages: of memory and of the spill folder."""

    seconds: float
    clients: int = 24
    running: int = 6
    waiting: int = 4
    pages: int = 40
    spill_pages: int = 60
    documents: int = 6
    threads: int | None = None


def bench_soak(
    plan: SoakPlan,
    *,
    model: str,
    folder: Path,
    text: str,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """``folder``: the model's. ``text``: documents and words are taken from it. Sizes in bytes.

    ``ok`` when every request ended as promised, memory at the end is within MOST_GROWTH of its size after the
    first minute, and the audit of the pages found nothing. Raises SetupError when the server does not start.

    Example: ``bench_soak(SoakPlan(), model="smollm2-135m", folder=folder, text=text)``
    """
    footprint = read_footprint(folder, 2)
    page_bytes = footprint.kv_bytes_per_token * PAGE_TOKENS
    with tempfile.TemporaryDirectory(prefix="kvproxy-bench-") as scratch:
        home = Path(scratch)
        keys = [f"sk-kvproxy-soak-{n:04}" for n in range(3)]
        child = _child(home, _config(plan, model, home / "store", keys, page_bytes))
        context = min(plan.pages * PAGE_TOKENS, footprint.max_context)
        with child:
            documents = _publish(child.url, keys[0], text, plan.documents, context)
            crowd = Crowd(
                url=child.url,
                model=MODEL,
                keys=keys,
                documents=documents,
                words=sorted(set(text.split())),
                clients=plan.clients,
                longest_characters=context,
            )
            samples, tally = asyncio.run(_run(child, crowd, plan.seconds, progress or (lambda *_: None)))
            status = child.stop()
        found = home / "audit.json"
        audit = json.loads(found.read_text(encoding="utf-8")) if found.exists() else None
    return _result(plan, model, page_bytes, samples, tally, status, audit)


def _result(
    plan: SoakPlan,
    model: str,
    page_bytes: int,
    samples: list[tuple[float, int]],
    tally: Tally,
    status: int,
    audit: Mapping[str, Any] | None,
) -> dict[str, Any]:
    first = _rss(samples, min(FIRST_S, plan.seconds / 2))
    last = _rss(samples, samples[-1][0])
    faults = ["it left no audit"] if audit is None else audit["faults"]
    if status:
        faults = [*faults, f"the server ended with status {status}"]
    growth = last / first - 1
    enough = tally.ended["answered"] > 0 and tally.ended["429"] + tally.ended["503"] > 0
    return {
        "machine": machine(),
        "model": model,
        "seconds": plan.seconds,
        "clients": plan.clients,
        "running": plan.running,
        "waiting": plan.waiting,
        "pages": plan.pages,
        "page_bytes": page_bytes,
        "requests": sum(tally.ended.values()),
        "kinds": dict(tally.kinds),
        "ended": dict(tally.ended),
        "wrong": tally.wrong,
        "cached_share": round(tally.cached_tokens / max(tally.prompt_tokens, 1), 4),
        "rss_first": first,
        "rss_last": last,
        "rss_highest": max(size for _, size in samples),
        "growth": round(growth, 4),
        "faults": faults,
        "occupancy": None if audit is None else audit["occupancy"],
        "overloaded": enough,
        "ok": enough and not faults and not tally.ended["wrong"] and abs(growth) <= MOST_GROWTH,
    }


async def _run(
    child: Child, crowd: Crowd, seconds: float, progress: Callable[[int, int], None]
) -> tuple[list[tuple[float, int]], Tally]:
    """Return (seconds since the start, resident bytes) once a second, and the outcomes of the requests."""
    samples: list[tuple[float, int]] = []
    began = time.monotonic()

    async def watch() -> None:
        while (now := time.monotonic() - began) < seconds:
            samples.append((now, child.rss()))
            progress(int(now), int(seconds))
            await asyncio.sleep(1.0)

    watching = asyncio.create_task(watch())
    tally = await overload(crowd, seconds)
    await watching
    progress(int(seconds), int(seconds))
    return samples, tally


def _rss(samples: list[tuple[float, int]], at: float) -> int:
    window = [size for when, size in samples if at - WINDOW_S <= when <= at]
    return int(statistics.median(window))


def _publish(url: str, key: str, text: str, count: int, context: int) -> list[str]:
    """Texts of one to four eighths of the context, or so: a token has some four characters."""
    documents = []
    with Client(url, key) as client:
        for number in range(count):
            size = context // 8 * (1 + number % 4) * 3
            start = number * 997 % max(1, len(text) - size)
            documents.append(text[start : start + size])
            client.publish(f"soak-{number}", documents[-1])
    return documents


def _config(plan: SoakPlan, model: str, store: Path, keys: list[str], page_bytes: int) -> dict[str, Any]:
    return {
        "server": {"port": 0, "api_keys": [{"name": f"tenant-{i}", "key": k} for i, k in enumerate(keys)]},
        "model": {"path": model, "name": MODEL, "threads": plan.threads},
        "engine": {
            "page_budget": plan.pages * page_bytes,
            "max_running": plan.running,
            "max_waiting": plan.waiting,
        },
        "store": {"path": str(store), "spill_max_size": plan.spill_pages * page_bytes},
        "documents": {"framings": [{"place": "system"}]},
    }


def _child(home: Path, config: Mapping[str, Any]) -> Child:
    file, url = home / "kvproxy.yaml", home / "kvproxy.url"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    arguments = (str(file), str(home / "audit.json"), str(url))
    return Child("kvproxy", (sys.executable, "-m", soak_server.__name__, *arguments), announced(url), home)


def print_soak(result: Mapping[str, Any]) -> None:
    """Print the summary of ``kvproxy bench soak``."""
    out = console()
    table = Table("requests", "answered", "client left", "429", "503", "wrong", "cached, of tokens")
    ended = result["ended"]
    names = ("answered", "left", "429", "503", "wrong")
    table.add_row(
        f"{result['requests']:,}", *(f"{ended.get(n, 0):,}" for n in names), f"{result['cached_share']:.1%}"
    )
    out.print(table)
    memory = Table("after the first minute", "at the end", "growth", "highest", "page budget")
    sizes = (
        result["rss_first"],
        result["rss_last"],
        result["rss_highest"],
        result["pages"] * result["page_bytes"],
    )
    first, last, highest, budget = (f"{size / 2**20:,.0f} MiB" for size in sizes)
    memory.add_row(first, last, f"{result['growth']:+.1%}", highest, budget)
    out.print(memory)
    machine = result["machine"]
    out.print(
        f"{result['model']}, {result['seconds'] / 60:.1f} minutes, {result['clients']} clients for "
        f"{result['running']} places and {result['waiting']} to wait in; {machine['cpu']}, {machine['cores']} cores.",
        soft_wrap=True,
    )
    for fault in (*result["faults"], *result["wrong"]):
        out.print(f"FAULT: {fault}", soft_wrap=True, markup=False)
    if not result["overloaded"]:
        out.print("FAULT: the server was not overloaded, or answered nothing: take more clients")
    out.print("sound" if result["ok"] else "NOT sound", style="green" if result["ok"] else "bold red")
