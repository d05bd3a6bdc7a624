"""``kvproxy bench fleet``: readers of documents over several replicas, by the product's routing and by others.

Every policy gets the same requests in the same order from the same client, over replicas whose caches are empty before
it: the documents are published (kvproxy), then each is asked about once, then the measured requests follow. A replica
holds a part of the documents only, so that a policy that spreads a document's readers loses it.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from kvproxy.bench.fleets.chat_stream import ChatTarget, StreamedAnswer, ask_streamed, replay
from kvproxy.bench.fleets.fleet_policies import (
    PLACED,
    PRODUCT,
    ROUND_ROBIN,
    STICKY,
    Choose,
    best_placement,
    round_robin,
    sticky_sessions,
)
from kvproxy.bench.fleets.fleet_servers import KEY, ProxyPlan, fleet_proxy
from kvproxy.bench.fleets.prompt_sizes import PromptSizes, best_possible_rate, measure_prompts
from kvproxy.bench.fleets.reading_trace import (
    ReadingPlan,
    ReadingStep,
    ReadingTrace,
    make_reading_trace,
    reading_summary,
    warming_steps,
)
from kvproxy.bench.fleets.replica_cache import ReplicaCache, replica_cache, reset_cache
from kvproxy.bench.load import TIMEOUT_S, quantiles_ms
from kvproxy.bench.machine import machine
from kvproxy.client import Client

OVERCOMMIT = 1.4
"""Tokens of all documents, over what one replica's cache holds."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FleetBenchPlan:
    """The readers' trace, the clients that run at once, and the model that the replicas serve."""

    trace: ReadingPlan
    served_name: str
    model: Path
    """A folder with tokenizer and chat template."""
    at_once: int = 4


def trace_for(cache: ReplicaCache, *, requests: int, documents: int, seed: int = 0) -> ReadingPlan:
    """Return a plan whose documents have OVERCOMMIT times as many tokens as one replica's cache holds.

    Example: ``trace_for(ReplicaCache(320, 32, 4096), requests=200, documents=24).median_tokens``
    """
    plan = ReadingPlan(requests=requests, documents=documents, seed=seed)
    median = int(
        OVERCOMMIT * cache.tokens / documents / 1.08
    )  # a log-normal's mean is 8% above its median here
    most = min(int(median * 2.2), cache.max_context - 256)
    return replace(plan, median_tokens=min(median, most), least_tokens=median // 2, most_tokens=most)


def bench_fleet(
    plan: FleetBenchPlan, *, words: Sequence[str], replicas: Sequence[str], say: Say = lambda _: None
) -> dict[str, Any]:
    """Run every policy over the ``replicas`` (base URLs, without ``/v1``), which nobody else may use meanwhile.

    ``words``: documents are drawn from them. Times in the result are milliseconds. Raises SetupError when a server does
    not start, WrongAnswer when one does not do its work.

    Example: ``bench_fleet(plan, words=text.split(), replicas=["http://127.0.0.1:8000", "http://127.0.0.1:8001"])``
    """
    caches = [replica_cache(url) for url in replicas]
    trace = make_reading_trace(plan.trace, words)
    steps = [*warming_steps(trace), *trace.steps]
    sizes = measure_prompts(trace, steps, plan.model)
    names = [f"replica-{number}" for number in range(len(replicas))]
    with tempfile.TemporaryDirectory(prefix="kvproxy-bench-") as scratch:
        run = _PolicyRuns(plan, trace, steps, list(replicas), Path(scratch), say)
        rows = [
            run.product(),
            run.routed(ROUND_ROBIN, round_robin(names)),
            run.routed(STICKY, sticky_sessions(names)),
            run.routed(PLACED, best_placement(names, trace.steps, sizes.documents)),
        ]
    bound = _bound(plan, steps, sizes, caches)
    return {
        "machine": machine(),
        "replicas": [{"blocks": cache.blocks, "block_tokens": cache.block_tokens} for cache in caches],
        "at_once": plan.at_once,
        "trace": reading_summary(plan.trace, sizes.documents),
        "best_possible_hit_rate": round(bound, 4),
        "policies": _compared(rows, bound),
    }


@dataclass(frozen=True, slots=True)
class _PolicyRuns:
    plan: FleetBenchPlan
    trace: ReadingTrace
    steps: Sequence[ReadingStep]
    """The warming ones, then the measured ones."""
    urls: Sequence[str]
    folder: Path
    say: Say

    def product(self) -> dict[str, Any]:
        """Run through a proxy of its own, which ends before other policies begin: it would keep its documents warm."""
        self._empty(PRODUCT)
        name = self.plan.served_name
        proxy = fleet_proxy("proxy", ProxyPlan(name, self.plan.model, self.urls), self.folder)
        with proxy, Client(proxy.url, KEY) as client:
            self.say(f"{PRODUCT}: publishing {len(self.trace.documents)} documents")
            for number, text in enumerate(self.trace.documents):
                client.publish(f"document-{number}", text)
            target = ChatTarget(PRODUCT, proxy.url, name, KEY)
            return self._measured(PRODUCT, lambda _: target)

    def routed(self, policy: str, choose: Choose) -> dict[str, Any]:
        """Run straight to the replicas. A salt of the policy's own keeps it from what the one before it left, where
        caches cannot be emptied."""
        self._empty(policy)
        fields = {"cache_salt": secrets.token_hex(8)}
        targets = [ChatTarget(policy, url, self.plan.served_name, KEY, fields) for url in self.urls]
        return self._measured(policy, lambda step: targets[choose(step)])

    def _empty(self, policy: str) -> None:
        if not all([reset_cache(url) for url in self.urls]):
            self.say(f"{policy}: the replicas' caches cannot be emptied; a salt of its own has to do")

    def _measured(self, policy: str, target: Callable[[ReadingStep], ChatTarget]) -> dict[str, Any]:
        warming = len(self.trace.documents)
        self.say(f"{policy}: asking about each document once, then {len(self.steps) - warming} requests")
        answers, seconds = asyncio.run(self._ask(target, warming))
        rate = sum(one.cached_tokens for one in answers) / sum(one.prompt_tokens for one in answers)
        first = quantiles_ms([one.first_s for one in answers])
        self.say(
            f"{policy}: hit rate {rate:.1%}, TTFT p50 {first['p50']:,.0f} ms, p99 {first['p99']:,.0f} ms"
        )
        return {
            "policy": policy,
            "hit_rate": rate,
            "prompt_tokens": sum(one.prompt_tokens for one in answers),
            "cached_tokens": sum(one.cached_tokens for one in answers),
            "computed_anew": sum(one.cached_tokens * 2 < one.prompt_tokens for one in answers),
            "ttft_ms": first,
            "whole_ms": quantiles_ms([one.total_s for one in answers]),
            "requests_per_s": len(answers) / seconds,
        }

    async def _ask(
        self, target: Callable[[ReadingStep], ChatTarget], warming: int
    ) -> tuple[list[StreamedAnswer], float]:
        """Ask all. Returns the answers to the measured requests, and the seconds that they took together."""
        tokens = self.plan.trace.answer_tokens
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:

            async def ask(step: ReadingStep) -> StreamedAnswer:
                messages = self.trace.messages(step)
                return await ask_streamed(
                    http, target(step), messages, max_tokens=tokens, session=step.session
                )

            await replay(self.steps[:warming], self.plan.at_once, ask)
            began = asyncio.get_running_loop().time()
            answers = await replay(self.steps[warming:], self.plan.at_once, ask)
            return answers, asyncio.get_running_loop().time() - began


def _bound(
    plan: FleetBenchPlan, steps: Sequence[ReadingStep], sizes: PromptSizes, caches: Sequence[ReplicaCache]
) -> float:
    return best_possible_rate(
        steps,
        sizes,
        counted=plan.trace.requests,
        block_tokens=caches[0].block_tokens,
        blocks=sum(cache.blocks for cache in caches),
    )


def _compared(rows: list[dict[str, Any]], bound: float) -> list[dict[str, Any]]:
    """Add ratios: of the hit rate to the bound and to round robin's, of TTFT p99 to round robin's."""
    turns = next(row for row in rows if row["policy"] == ROUND_ROBIN)
    for row in rows:
        row["of_best_possible"] = row["hit_rate"] / bound if bound else 0.0
        row["of_round_robin"] = {
            "hit_rate": row["hit_rate"] / turns["hit_rate"] if turns["hit_rate"] else None,
            "ttft_p50": row["ttft_ms"]["p50"] / turns["ttft_ms"]["p50"],
            "ttft_p99": row["ttft_ms"]["p99"] / turns["ttft_ms"]["p99"],
        }
    return rows
