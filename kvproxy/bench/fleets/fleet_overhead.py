"""``kvproxy bench fleet-overhead``: the time that a fleet's proxy adds, beside litellm's proxy and vLLM's own router.

All of them stand in front of the same replicas, in the same run. Added latency is a quantile through one of them minus
the same quantile straight to a replica. Fake replicas compute nothing, so that nothing hides what is added.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvproxy.bench.fleets.fleet_servers import KEY, FakePlan, ProxyPlan, fake_server_process, fleet_proxy
from kvproxy.bench.fleets.vllm_router import vllm_router
from kvproxy.bench.litellm_proxy import litellm_proxy
from kvproxy.bench.load import LoadSamples, LoadTarget, Request, open_load
from kvproxy.bench.machine import machine
from kvproxy.bench.proxy import LITELLM, STRAIGHT, Series, rows_of
from kvproxy.bench.server_process import started_together
from kvproxy.client import Client

FLEET, ROUTER = "kvproxy, fleet", "vllm-router"
BLOCKS = 4096
WORDS = 16
"""Tokens of an answer."""


@dataclass(frozen=True, slots=True)
class OverheadPlan:
    """Numbers of requests. Every count is per target."""

    sequential: int = 300
    rounds: int = 4
    """Bursts of concurrent requests."""
    burst: int = 128
    """Requests in each of them."""
    concurrency: int = 32
    warm_up: int = 20


QUICK_OVERHEAD = OverheadPlan(sequential=50, rounds=1, burst=64, warm_up=5)


@dataclass(frozen=True, slots=True)
class OverheadPeers:
    """Programs that are measured beside kvproxy; None: left out, as the result says."""

    litellm: Path | None = None
    router: Path | None = None
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def in_folder(cls, folder: Path) -> OverheadPeers:
        """Find the programs in the environment ``folder``, and name those that are not there."""
        found = {name: folder / "bin" / name for name in ("litellm", "vllm-router")}
        missing = [name for name, path in found.items() if not path.exists()]
        here = {name: None if name in missing else path for name, path in found.items()}
        return cls(here["litellm"], here["vllm-router"], missing)


@dataclass(frozen=True, slots=True)
class OverheadInput:
    """The servers that are measured, and the document that every request reads."""

    served_name: str
    model: Path
    """A folder with tokenizer and chat template."""
    text: str
    peers: OverheadPeers
    replicas: tuple[str, ...] = ()
    """Base URLs of real ones; two fakes are started where there are none."""


def bench_fleet_overhead(
    plan: OverheadPlan, given: OverheadInput, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Measure the added time; milliseconds. ``progress`` counts kinds of requests.

    Raises SetupError when a server does not start, WrongAnswer when one does not do its work.

    Example: ``bench_fleet_overhead(plan, OverheadInput("m", folder, text, OverheadPeers()), print)``
    """
    name = given.served_name
    with tempfile.TemporaryDirectory(prefix="kvproxy-bench-") as scratch, ExitStack() as running:
        folder = Path(scratch)
        urls = given.replicas or _fakes(running, name, given.model, folder)
        ours = running.enter_context(fleet_proxy("kvproxy", ProxyPlan(name, given.model, urls), folder))
        peers = _peers(running, given.peers, urls, name, folder)
        targets = [*peers, LoadTarget(FLEET, ours.url, name, KEY, "kvproxy; hit", ours.cpu_s)]
        with Client(ours.url, KEY) as client:
            tokens = client.publish("bench", given.text)["info"]["tokens"]
        straight = LoadTarget(STRAIGHT, urls[0], name, KEY)
        rows = asyncio.run(_measure(plan, straight, targets, given.text, progress))
    return {
        "machine": machine(),
        "replicas": {"count": len(urls), "fake": not given.replicas},
        "left_out": given.peers.left_out,
        "plan": _counts(plan),
        "document_tokens": tokens,
        "rows": rows,
    }


def _counts(plan: OverheadPlan) -> dict[str, int]:
    bursts = plan.rounds * plan.burst
    return {"sequential": plan.sequential, "concurrent": bursts, "at_once": plan.concurrency}


def _fakes(running: ExitStack, served_name: str, model: Path, folder: Path) -> tuple[str, ...]:
    plan = FakePlan(served_name, model, BLOCKS, prefill_tokens_per_s=None, decode_s=0.0, most_at_once=256)
    fakes = [fake_server_process(f"replica-{number}", plan, folder) for number in range(2)]
    running.enter_context(started_together(fakes))
    return tuple(fake.url for fake in fakes)


def _peers(
    running: ExitStack, peers: OverheadPeers, urls: Sequence[str], served_name: str, folder: Path
) -> list[LoadTarget]:
    """litellm's proxy is in front of the first replica: a deployment for each would be chosen at random."""
    targets = []
    if peers.litellm is not None:
        theirs = litellm_proxy(peers.litellm, folder, upstream=f"{urls[0]}/v1", model=served_name, key=KEY)
        running.enter_context(theirs)
        targets.append(LoadTarget(LITELLM, theirs.url, served_name, KEY, cpu_s=theirs.cpu_s))
    if peers.router is not None:
        router = running.enter_context(vllm_router(peers.router, urls, folder))
        targets.append(LoadTarget(ROUTER, router.url, served_name, KEY, cpu_s=router.cpu_s))
    return targets


async def _measure(
    plan: OverheadPlan,
    straight: LoadTarget,
    targets: list[LoadTarget],
    text: str,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any]]:
    messages = [
        {"role": "system", "content": text},
        {"role": "user", "content": "How many days of leave do I have?"},
    ]
    requests = [Request(messages, WORDS, stream) for stream in (False, True)]
    series = [Series(request, n) for n in (1, plan.concurrency) for request in requests]
    rows: list[dict[str, Any]] = []
    async with open_load() as load:
        for done, one in enumerate(series):
            if progress is not None:
                progress(done, len(series))
            if one.concurrency == 1:
                await load.one_by_one([straight, *targets], one.request, plan.warm_up)
                samples = await load.one_by_one([straight, *targets], one.request, plan.sequential)
            else:
                samples = await _bursts(plan, load.at_once, [straight, *targets], one)
            rows += rows_of(one, samples, [target.name for target in targets])
    if progress is not None:
        progress(len(series), len(series))
    return rows


async def _bursts(plan: OverheadPlan, at_once: Any, targets: list[LoadTarget], one: Series) -> LoadSamples:
    many = one.concurrency
    await at_once(targets, one.request, rounds=1, requests=many, concurrency=many)
    samples: LoadSamples = await at_once(
        targets, one.request, rounds=plan.rounds, requests=plan.burst, concurrency=many
    )
    return samples
