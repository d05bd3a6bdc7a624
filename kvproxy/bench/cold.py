"""``kvproxy bench cold``: time to the first token of a cold prompt, beside transformers', in the same run."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kvproxy.bench.engine.random_models import shape_named
from kvproxy.bench.engine.side_by_side import Case, open_duel
from kvproxy.bench.engine.transformers_baseline import Baseline, load_plain
from kvproxy.bench.machine import engine_machine
from kvproxy.config import Config, default_cache_dir
from kvproxy.core import Caller, ChatRequest, Message, Sampling, TextPart
from kvproxy.engine.models.source import resolve_model
from kvproxy.stack.model_folders import ModelFolders
from kvproxy.stack.open_stack import Stack, open_stack
from kvproxy.telemetry.request_timer import Timings

SIZES = (255, 1024, 3774, 7500)
"""Prompt tokens; the paper's smallest and largest among them."""


def bench_cold(
    config: Config, *, text: str, repeats: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Measure the TTFT of a prompt that was never sent before, through the proxy's whole miss path, beside
    transformers' ``generate(max_new_tokens=1)`` on the same weights, dtype and token ids. Medians of ``repeats``,
    taken in turn. Times in seconds.

    A ``shape:NAME`` has no tokenizer: there the engine alone is measured, on random tokens, without the proxy.

    Example: ``await bench_cold(config, text=text, repeats=3)``
    """
    if shape_named(config.model.path) is not None:
        return _cold_shape(config, repeats, progress)
    return asyncio.run(_cold(config, text, repeats, progress or (lambda *_: None)))


def _cold_shape(config: Config, repeats: int, progress: Callable[[int, int], None] | None) -> dict[str, Any]:
    model, dtype = config.model.path, config.model.dtype
    with open_duel(model, dtype=dtype, tokens=max(SIZES) + 1, cache_dir=default_cache_dir()) as duel:
        outcomes = duel.play([Case(size, 1) for size in SIZES], repeats, progress)
        rows = [
            _timed_row(
                outcome.case.prompt_tokens,
                [t.ttft_s for t in outcome.ours],
                [t.ttft_s for t in outcome.theirs],
            )
            for outcome in outcomes
        ]
        return {
            "machine": duel.on_thread(engine_machine),
            "model": model,
            "dtype": dtype,
            "level": "engine",
            "in_turn": duel.in_turn,
            "drift_gflops": [round(x, 1) for x in duel.drift],
            "cold": rows,
        }


async def _cold(
    config: Config, text: str, repeats: int, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    folder = resolve_model(config.model.path, revision=config.model.revision, cache_dir=default_cache_dir())
    with tempfile.TemporaryDirectory(prefix="kvproxy-bench-") as scratch:
        store = config.store.model_copy(update={"path": Path(scratch)})
        async with open_stack(config.model_copy(update={"store": store}), ModelFolders(folder)) as stack:
            await stack.misses.start()
            baseline = await stack.local.on_kernel_thread(partial(_baseline, config, folder.path))
            assert isinstance(baseline, Baseline)
            sizes = [n for n in SIZES if n < stack.local.info.max_context]
            await _ours(
                stack, config.model.served_name, _cut(stack, config.model.served_name, text, sizes[0])
            )
            rows = []
            for done, size in enumerate(sizes):
                progress(done, len(sizes))
                request = _cut(stack, config.model.served_name, text, size)
                rows.append(await _row(stack, baseline, config.model.served_name, request, repeats))
            progress(len(sizes), len(sizes))
            shape = await stack.local.on_kernel_thread(engine_machine)
    return {
        "machine": shape,
        "model": config.model.path,
        "dtype": config.model.dtype,
        "level": "proxy",
        "cold": rows,
    }


def _baseline(config: Config, folder: Path) -> Baseline:
    plain = load_plain(str(folder), config.model.dtype, cache_dir=default_cache_dir())
    return Baseline(plain, config.model.device)


async def _row(
    stack: Stack, baseline: Baseline, model: str, request: ChatRequest, repeats: int
) -> dict[str, Any]:
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(repeats):
        seconds, token_ids = await _ours(stack, model, request)
        ours.append(seconds)
        # On the same thread: a second OpenMP team would slow both down.
        took = await stack.local.on_kernel_thread(partial(baseline.first_token, token_ids))
        assert isinstance(took, float)
        theirs.append(took)
    return _timed_row(len(token_ids), ours, theirs)


def _timed_row(tokens: int, ours: list[float], theirs: list[float]) -> dict[str, Any]:
    mine, other = statistics.median(ours), statistics.median(theirs)
    return {
        "prompt_tokens": tokens,
        "kvproxy_s": round(mine, 4),
        "transformers_s": round(other, 4),
        "ratio": round(mine / other, 3),
        "repeats": len(ours),
    }


async def _ours(stack: Stack, model: str, request: ChatRequest) -> tuple[float, tuple[int, ...]]:
    """Return the seconds until the first event, for a new tenant."""
    scope = f"bench:{uuid.uuid4().hex}"
    caller = Caller("bench", scope)
    began = time.perf_counter()
    reply = await stack.pipeline.serve(request, caller, scope, Timings())
    seconds = time.perf_counter() - began
    await reply.aclose()
    if reply.started.cached_tokens:
        raise AssertionError("a cold prompt was served from kept pages")
    return seconds, stack.composer.compose(request, caller).token_ids


def _cut(stack: Stack, model: str, text: str, tokens: int) -> ChatRequest:
    """Return a request of ``text``'s beginning that comes to just ``tokens`` prompt tokens, or nearly."""
    caller = Caller("bench", "bench")

    def request(characters: int) -> ChatRequest:
        messages = (Message("user", (TextPart(text[:characters]),)),)
        return ChatRequest(model, messages, Sampling(temperature=0.0, max_tokens=1))

    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if len(stack.composer.compose(request(middle), caller).token_ids) <= tokens:
            low = middle
        else:
            high = middle - 1
    return request(low)
