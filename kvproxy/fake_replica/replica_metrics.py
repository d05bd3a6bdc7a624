"""`metrics_text`: ``/metrics`` of a fake replica, under vLLM's names."""

from __future__ import annotations

from kvproxy.fake_replica.fake_engine import FakeEngine
from kvproxy.fake_replica.replica_options import ReplicaOptions


def metrics_text(options: ReplicaOptions, engine: FakeEngine) -> str:
    """Return what the proxy may read of vLLM's metrics, in Prometheus' text format.

    Example: ``metrics_text(options, engine)``
    """
    counts = engine.counts
    labels = f'engine="0",model_name="{options.model}"'
    lines = [
        _gauge("vllm:num_requests_running", labels, engine.running),
        _gauge("vllm:num_requests_waiting", labels, engine.waiting),
        _gauge("vllm:kv_cache_usage_perc", labels, engine.cache.used_share),
        _counter("vllm:prefix_cache_queries", labels, counts.queried_tokens),
        _counter("vllm:prefix_cache_hits", labels, counts.cached_tokens),
        _counter("vllm:external_prefix_cache_queries", labels, 0),
        _counter("vllm:external_prefix_cache_hits", labels, 0),
        _counter("vllm:prompt_tokens", labels, counts.prompt_tokens),
        _counter("vllm:prompt_tokens_cached", labels, counts.cached_tokens),
        _counter("vllm:generation_tokens", labels, counts.answer_tokens),
        _counter("vllm:request_success", f'{labels},finished_reason="stop"', counts.finished),
        _counter("vllm:request_success", f'{labels},finished_reason="abort"', counts.aborted),
        _gauge("vllm:cache_config_info", _cache_config(options), 1),
    ]
    return "".join(lines)


def _cache_config(options: ReplicaOptions) -> str:
    named = {
        "block_size": options.block_tokens,
        "enable_prefix_caching": True,
        "engine": 0,
        "num_gpu_blocks": options.blocks,
        "prefix_caching_hash_algo": options.hash_algorithm,
    }
    return ",".join(f'{name}="{value}"' for name, value in named.items())


def _gauge(name: str, labels: str, value: float) -> str:
    return f"# TYPE {name} gauge\n{name}{{{labels}}} {float(value)}\n"


def _counter(name: str, labels: str, value: float) -> str:
    return f"# TYPE {name} counter\n{name}_total{{{labels}}} {float(value)}\n"
