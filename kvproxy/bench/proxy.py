"""``kvproxy bench proxy``: the time that the proxy adds to a request, beside litellm's own proxy.

Added latency is a quantile through a proxy minus the same quantile straight to the upstream, in the same run.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from kvproxy.bench import fake_server, instant_upstream
from kvproxy.bench.litellm_proxy import VERSION, litellm_proxy
from kvproxy.bench.load import Load, LoadSamples, LoadTarget, Request, WrongAnswer, open_load, quantiles_ms
from kvproxy.bench.machine import machine
from kvproxy.bench.server_process import Child, announced
from kvproxy.client import Client

KEY = "sk-kvproxy-bench-0001"
STRAIGHT, LITELLM, RAW, SDK, HIT = (
    "straight",
    "litellm's proxy",
    "kvproxy, raw",
    "kvproxy, SDK",
    "kvproxy, hit",
)
DOCUMENT = "bench"
DOCUMENT_CHARACTERS = 17_300
"""Some 3,700 tokens of English."""
HIT_WORDS = 12
"""As many as the fake backend says."""


@dataclass(frozen=True, slots=True)
class ProxyBenchPlan:
    """Numbers of requests. Every count is per target."""

    sequential: int = 500
    rounds: int = 6
    """Bursts of concurrent requests."""
    burst: int = 128
    """Requests in each of them."""
    concurrency: int = 32
    warm_up: int = 20

    @property
    def concurrent(self) -> int:
        """Requests that are open at the same time."""
        return self.rounds * self.burst


QUICK = ProxyBenchPlan(sequential=50, rounds=1, burst=64, warm_up=5)


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of request at one concurrency."""

    request: Request
    concurrency: int


def bench_proxy(
    plan: ProxyBenchPlan,
    *,
    model: str,
    model_folder: Path,
    text: str,
    litellm: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure the added time. ``model`` is loaded by ``kvproxy serve`` and never run, ``model_folder`` has its
    tokenizer; ``litellm`` is the command of litellm's proxy, or None to leave it out. Times in milliseconds.

    Raises SetupError when a server does not start, WrongAnswer when one does not do its work.

    Example: ``await bench_proxy(plan, model="smollm2-135m", model_folder=folder, text=text, litellm=None)``
    """
    with tempfile.TemporaryDirectory(prefix="kvproxy-bench-") as scratch, ExitStack() as open_children:
        folder = Path(scratch)
        start = open_children.enter_context
        mock = start(_child("mock-upstream", instant_upstream.__name__, folder))
        straight = LoadTarget(STRAIGHT, mock.url, "bench", KEY)
        ours = start(_kvproxy(folder, model, f"{mock.url}/v1"))
        # Target.cpu_s: raw and SDK share a process, but never a burst.
        bypass = LoadTarget(RAW, ours.url, "raw", KEY, "kvproxy; fwd=bypass", ours.cpu_s)
        proxies = [bypass, replace(bypass, name=SDK, model="sdk")]
        if litellm is not None:
            theirs = start(litellm_proxy(litellm, folder, upstream=f"{mock.url}/v1", model="bench", key=KEY))
            proxies.insert(0, LoadTarget(LITELLM, theirs.url, "bench", KEY, cpu_s=theirs.cpu_s))
        fake = start(_child("fake-server", fake_server.__name__, folder, str(model_folder), str(folder)))
        document = text[:DOCUMENT_CHARACTERS]
        with Client(fake.url) as client:
            tokens = client.publish(DOCUMENT, document)["info"]["tokens"]
        hit = LoadTarget(HIT, fake.url, fake_server.MODEL, KEY, "kvproxy; hit", fake.cpu_s)
        rows, hits = asyncio.run(_measure(plan, straight, proxies, hit, document, progress))
    return {
        "machine": machine(),
        "litellm_proxy": VERSION if litellm is not None else None,
        "plan": {"sequential": plan.sequential, "concurrent": plan.concurrent, "at_once": plan.concurrency},
        "upstream": rows,
        "hit": {"document_tokens": tokens, "rows": hits},
    }


async def _measure(
    plan: ProxyBenchPlan,
    straight: LoadTarget,
    proxies: list[LoadTarget],
    hit: LoadTarget,
    document: str,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    short = [{"role": "user", "content": "How many days of leave do I have?"}]
    known = [{"role": "system", "content": f"{document}\n\nAnswer briefly."}, *short]
    upstream_series = _series(plan, short, instant_upstream.WORDS)
    hit_series = _series(plan, known, HIT_WORDS)
    total = len(upstream_series) + len(hit_series)
    say = progress or (lambda *_: None)
    rows: list[dict[str, Any]] = []
    hits: list[dict[str, Any]] = []
    say(0, total)
    async with open_load() as load:
        for done, series in enumerate(upstream_series, 1):
            await _same_answers(load, straight, proxies, series.request)
            samples = await _run(load, [straight, *proxies], series, plan)
            rows += rows_of(series, samples, [p.name for p in proxies])
            say(done, total)
        for done, series in enumerate(hit_series, len(upstream_series) + 1):
            samples = await _run(load, [straight, hit], series, plan)
            hits += rows_of(series, samples, [HIT])
            say(done, total)
    return rows, hits


def _series(plan: ProxyBenchPlan, messages: list[dict[str, str]], words: int) -> list[Series]:
    requests = [Request(messages, words, stream) for stream in (False, True)]
    return [Series(request, n) for n in (1, plan.concurrency) for request in requests]


async def _run(load: Load, targets: list[LoadTarget], series: Series, plan: ProxyBenchPlan) -> LoadSamples:
    request = series.request
    if series.concurrency == 1:
        await load.one_by_one(targets, request, plan.warm_up)
        return await load.one_by_one(targets, request, plan.sequential)
    n = series.concurrency
    await load.at_once(targets, request, rounds=1, requests=n, concurrency=n)
    return await load.at_once(targets, request, rounds=plan.rounds, requests=plan.burst, concurrency=n)


async def _same_answers(
    load: Load, straight: LoadTarget, proxies: list[LoadTarget], request: Request
) -> None:
    """Check that a proxy's answer is the upstream's. Raises WrongAnswer."""
    expected = await load.text(straight, request)
    for proxy in proxies:
        said = await load.text(proxy, request)
        if said != expected:
            raise WrongAnswer(f"{proxy.name} says {said!r}, the upstream {expected!r}")


def rows_of(series: Series, samples: LoadSamples, proxies: list[str]) -> list[dict[str, Any]]:
    """One for each metric: the whole answer, and for a stream its first event.

    Example: ``rows_of(series, samples, ["kvproxy"])``
    """
    rows = []
    for metric in ("first", "total") if series.request.stream else ("total",):
        taken = {
            name: quantiles_ms([_seconds(s.first_s if metric == "first" else s.total_s) for s in of])
            for name, of in samples.of.items()
        }
        row: dict[str, Any] = {
            "streamed": series.request.stream,
            "at_once": series.concurrency,
            "metric": metric,
            "requests": len(samples.of[STRAIGHT]),
            "straight_ms": _rounded(taken[STRAIGHT]),
            "proxies": [_through(name, taken, samples) for name in proxies],
        }
        rows.append(row)
    return rows


def _through(name: str, taken: Mapping[str, Mapping[str, float]], samples: LoadSamples) -> dict[str, Any]:
    def added(of: str) -> dict[str, float]:
        return {q: taken[of][q] - taken[STRAIGHT][q] for q in taken[of]}

    row: dict[str, Any] = {"name": name, "ms": _rounded(taken[name]), "added_ms": _rounded(added(name))}
    if LITELLM in taken and name != LITELLM:
        theirs = added(LITELLM)
        ratios = {q: value / theirs[q] for q, value in added(name).items() if theirs[q] > 0}
        row["of_litellm"] = {q: round(ratio, 4) for q, ratio in ratios.items()}
    if name in samples.cpu_s:
        row["cpu_ms"] = round(samples.cpu_s[name] * 1000 / len(samples.of[name]), 3)
    own = [s.proxy_s for s in samples.of[name] if s.proxy_s is not None]
    if own:
        row["own_ms"] = _rounded(quantiles_ms(own))
    return row


def _seconds(value: float | None) -> float:
    assert value is not None
    return value


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}


def _child(name: str, module: str, folder: Path, *arguments: str) -> Child:
    """One of our own modules, which announces where it serves."""
    file = folder / f"{name}.url"
    return Child(name, (sys.executable, "-m", module, *arguments, str(file)), announced(file), folder)


def _kvproxy(folder: Path, model: str, upstream_url: str) -> Child:
    params = {"model": "openai/bench", "api_base": upstream_url, "api_key": KEY}
    config = {
        "server": {"port": 0, "api_keys": [{"name": "bench", "key": KEY}]},
        "model": {"path": model},
        "engine": {"page_budget": "64MiB"},
        "store": {"path": str(folder / "store")},
        "upstreams": [
            {"name": "raw", "passthrough": True, "params": params},
            {"name": "sdk", "params": params},
        ],
    }
    file = folder / "kvproxy.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    url = folder / "kvproxy.url"
    command = (sys.executable, "-m", "kvproxy", "serve", "--config", str(file), "--announce-file", str(url))
    return Child("kvproxy", command, announced(url), folder)
