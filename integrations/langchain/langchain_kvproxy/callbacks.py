"""`KVProxyUsageHandler`: sums the tokens, hits and saved seconds of a run."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers.context import register_configure_hook
from typing_extensions import TypedDict, override

from langchain_kvproxy._answer_cost import CostSums, MoneySpent


class DocumentUsage(TypedDict):
    """Sums over the requests that had one document at their head."""

    hits: int
    misses: int
    cached_tokens: int


class UsageSummary(TypedDict):
    """Sums over all requests of a run."""

    requests: int
    replayed: int
    """Answers of LangChain's own cache (`set_llm_cache`): no request was made, and nothing else counts them."""
    failures: int
    prompt_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    completion_tokens: int
    hits: int
    misses: int
    """Includes `collapsed` requests, which shared a prefill with simultaneous ones."""
    miss_reasons: dict[str, int]
    miss_causes: dict[str, int]
    """The difference from the nearest known text: `timestamp`, `tools-order` …, where the proxy knew it in time."""
    documents: dict[str, DocumentUsage]
    """By document, without its version."""
    seconds_saved: float | None
    """None until a miss has shown the cost of a token."""
    spent: dict[str, CostSums]
    """By currency: the price of all answers, and of the same answers without kept pages. Empty without a tariff."""


@dataclass
class _Costs:
    """Seconds of computing tokens in misses, and of loading them in hits."""

    prefill_s: float = 0.0
    prefilled: int = 0
    cached: int = 0
    load_s: float = 0.0


@dataclass
class _Sums:
    counts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    documents: dict[str, DocumentUsage] = field(default_factory=dict)
    costs: _Costs = field(default_factory=_Costs)
    money: MoneySpent = field(default_factory=MoneySpent)

    def add(self, **counts: int) -> None:
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count


class KVProxyUsageHandler(BaseCallbackHandler):
    """Sums prompt tokens, cached tokens, cache writes, hits and misses, and estimates the seconds saved.

    `seconds_saved` is an estimate: the tokens that were not computed, times the seconds for a computed token in
    this handler's misses (the proxy's own `Server-Timing`), less the seconds of loading. A longer prompt's tokens
    cost more than a shorter one's, which it ignores. It is None until the first miss.

    May be used from several threads, and for several runs, which it adds up. Every chat model's tokens are
    counted; hits and misses are those of `ChatKVProxy`. An answer of LangChain's own cache is no request.

    Instantiate:
        ```python
        from langchain_kvproxy import ChatKVProxy, KVProxyUsageHandler

        usage = KVProxyUsageHandler()
        model = ChatKVProxy(model="...", max_tokens=16)
        ```

    Pass it to a run:
        ```python
        model.invoke("Hello", config={"callbacks": [usage]})
        print(usage.summary())
        ```

    Or count everything that runs inside a `with`:
        ```python
        with KVProxyUsageHandler() as usage:
            model.invoke("Hello")
            model.invoke("Hello again")
        print(usage.totals()["cached_tokens"], usage.totals()["prompt_tokens"])
        ```
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._sums = _Sums()
        self._seen: set[UUID] = set()
        self._outer: KVProxyUsageHandler | None = None
        self._entered: Token[KVProxyUsageHandler | None] | None = None

    def __enter__(self) -> Self:
        self._outer = _current.get()
        self._entered = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered is not None:
            _current.reset(self._entered)
            self._entered = None
            self._outer = None

    @override
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Add the usage of an answer. A run counts once, however often it is reported.

        Example: `usage.on_llm_end(LLMResult(generations=[[generation]]), run_id=uuid4())`
        """
        if self._outer is not None:
            self._outer.on_llm_end(response, run_id=run_id)
        with self._lock:
            if run_id in self._seen:
                return
            self._seen.add(run_id)
            for generations in response.generations:
                # Of several choices each carries the usage of the whole request.
                if generations and isinstance(generations[0], ChatGeneration):
                    self._count(generations[0].message)

    @override
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Count a failed request. A run counts once, however often it is reported.

        Example: `usage.on_llm_error(TimeoutError(), run_id=uuid4())`
        """
        if self._outer is not None:
            self._outer.on_llm_error(error, run_id=run_id)
        with self._lock:
            if run_id not in self._seen:
                self._seen.add(run_id)
                self._sums.add(requests=1, failures=1)

    def totals(self) -> UsageSummary:
        """Return the sums until now."""
        with self._lock:
            sums = self._sums
            count = sums.counts.get
            return UsageSummary(
                requests=count("requests", 0),
                replayed=count("replayed", 0),
                failures=count("failures", 0),
                prompt_tokens=count("prompt_tokens", 0),
                cached_tokens=count("cached_tokens", 0),
                cache_write_tokens=count("cache_write_tokens", 0),
                completion_tokens=count("completion_tokens", 0),
                hits=count("hits", 0),
                misses=count("misses", 0),
                miss_reasons=dict(sums.reasons),
                miss_causes=dict(sums.causes),
                documents={name: usage.copy() for name, usage in sorted(sums.documents.items())},
                seconds_saved=_seconds_saved(sums.costs),
                spent=sums.money.totals(),
            )

    def summary(self) -> str:
        """Format `totals` as a few lines of text."""
        totals = self.totals()
        prompt, cached = totals["prompt_tokens"], totals["cached_tokens"]
        share = f" ({cached / prompt:.0%})" if prompt else ""
        saved = totals["seconds_saved"]
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(totals["miss_reasons"].items()))
        causes = ", ".join(f"{n} {cause}" for cause, n in sorted(totals["miss_causes"].items()))
        replayed = totals["replayed"]
        lines = [
            f"{totals['requests']} requests, {totals['failures']} failed: {totals['hits']} hits, "
            f"{totals['misses']} misses"
            + (f" ({reasons})" if reasons else "")
            + (f", caused by {causes}" if causes else ""),
            f"{prompt} prompt tokens, {cached} of them cached{share}, "
            f"{totals['cache_write_tokens']} written for later readers",
            "seconds saved: "
            + ("unknown, no miss to compare with" if saved is None else f"about {saved:.2f}"),
        ]
        for currency, sums in totals["spent"].items():
            lines.append(
                f"cost: {sums['cost']} {currency}, {sums['cold_cost']} without kept pages, saved {sums['saved']}"
            )
        if replayed:
            lines.append(f"{replayed} more answers came from LangChain's cache, without a request")
        for name, usage in totals["documents"].items():
            counts = f"{usage['hits']} hits, {usage['misses']} misses, {usage['cached_tokens']} cached tokens"
            lines.append(f"  {name}: {counts}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()

    def _count(self, message: Any) -> None:
        usage: Mapping[str, Any] = (isinstance(message, AIMessage) and message.usage_metadata) or {}
        details: Mapping[str, int] = usage.get("input_token_details") or {}
        prompt, cached = usage.get("input_tokens", 0), details.get("cache_read", 0)
        if usage.get("total_cost") == 0:  # LangChain's mark on answers from its own cache
            return self._sums.add(replayed=1)
        self._sums.add(
            requests=1,
            prompt_tokens=prompt,
            cached_tokens=cached,
            cache_write_tokens=details.get("cache_creation", 0),
            completion_tokens=usage.get("output_tokens", 0),
        )
        cost = message.response_metadata.get("kvproxy_cost")
        if isinstance(cost, Mapping):
            self._sums.money.add(cost)
        report = message.response_metadata.get("kvproxy")
        if isinstance(report, Mapping) and report.get("status") in ("hit", "miss", "collapsed"):
            self._count_report(report, prompt, cached)

    def _count_report(self, report: Mapping[str, Any], prompt: int, cached: int) -> None:
        hit = report["status"] == "hit"
        self._sums.add(hits=int(hit), misses=int(not hit))
        if reason := report.get("reason"):
            self._sums.reasons[reason] = self._sums.reasons.get(reason, 0) + 1
        if cause := report.get("cause"):
            self._sums.causes[cause] = self._sums.causes.get(cause, 0) + 1
        if document := report.get("document"):
            usage = self._sums.documents.setdefault(document, {"hits": 0, "misses": 0, "cached_tokens": 0})
            usage["hits" if hit else "misses"] += 1
            usage["cached_tokens"] += cached
        timings = report.get("timings_ms") or {}
        costs = self._sums.costs
        costs.cached += cached
        costs.load_s += timings.get("load", 0.0) / 1000
        if report["status"] == "miss" and "prefill" in timings:
            costs.prefill_s += timings["prefill"] / 1000
            costs.prefilled += max(0, prompt - cached)


_current: ContextVar[KVProxyUsageHandler | None] = ContextVar("kvproxy_usage", default=None)
register_configure_hook(_current, inheritable=True)


def _seconds_saved(costs: _Costs) -> float | None:
    if not costs.prefilled:
        return None
    return max(0.0, costs.cached * costs.prefill_s / costs.prefilled - costs.load_s)
