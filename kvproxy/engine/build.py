"""Builds a running engine from plain values, for the composition root."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_costs import PageCosts, PageWork
from kvproxy.engine.cache.page_io import DurablePages
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.cache.prefix_index import PrefixIndex
from kvproxy.engine.cache.spill_tier import SpillFiles
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel, load_model, pick_device
from kvproxy.engine.loop.engine import Engine
from kvproxy.engine.loop.kernel_thread import KernelThread
from kvproxy.errors import SetupError
from kvproxy.runtime.freed_memory import return_freed_memory

logger = logging.getLogger(__name__)

AUTO_SHARE = 0.6
"""Share of the memory that is free once the model is loaded; the rest is left to activations, reads and other
processes."""


def load(
    folder: Path,
    *,
    dtype: str,
    device: str,
    threads: int | None,
    tokenizer_digest: str,
    template_digest: str,
    say: Callable[[str], None] | None = None,
) -> TileModel:
    """Load and measure a model, on the KernelThread that will run it. Raises SetupError.

    ``say`` is called with each step of loading. Example: ``thread.submit(load, folder, dtype="bfloat16", device="auto",
    threads=None, tokenizer_digest=tokenizer, template_digest=template).result()``
    """
    keep_freed_memory()
    model = load_model(
        folder,
        dtype={"bfloat16": torch.bfloat16, "float32": torch.float32}[dtype],
        device=pick_device(device),
        tokenizer_digest=tokenizer_digest,
        template_digest=template_digest,
        threads=threads,
        progress=say,
    )
    return_freed_memory()
    return model


def start_engine(
    model: TileModel,
    folder: Path,
    *,
    eos_ids: frozenset[int],
    page_budget: int | None,
    max_context: int | None,
    max_running: int,
    max_waiting: int,
    store: DurablePages | None,
    thread: KernelThread | None = None,
    speculate: bool = True,
    spill: SpillFiles | None = None,
) -> Engine:
    """Start an engine around a loaded model. Raises SetupError when the page budget is too small.

    ``page_budget``: bytes; None: a share of the free memory. ``max_context``: tokens; None: the model's.
    Example: ``start_engine(model, folder, eos_ids=frozenset({2}), page_budget=None, max_context=None, max_running=16,
    max_waiting=64, store=None)``
    """
    shape = model.page_shape
    context = min(max_context or model.max_context, model.max_context)
    pages = (page_budget or _free_bytes(model.device)) // shape.bytes
    needed = -(-context // PAGE_TOKENS)
    if page_budget is None:
        # More pages than all requests together can fill are never used.
        pages = min(pages, needed * (max_running + max_waiting))
    if pages < 2:
        raise SetupError(
            f"the page budget holds {pages} pages of {shape.bytes / 2**20:.1f} MiB; raise engine.page_budget "
            "or free some memory"
        )
    if pages < needed:
        logger.warning(
            "the page budget (%d pages) is smaller than one full context (%d pages); longer requests are refused",
            pages,
            needed,
        )
    size = shape.bytes / 2**20
    logger.info("page budget: %d pages of %.1f MiB (%.1f GiB)", pages, size, pages * size / 1024)
    costs = PageCosts(page_work(model.config, shape), shape.bytes, spills=spill is not None)
    cache = KVCache(model.pool(pages + 1), PrefixIndex(root_key(model.fingerprint)), costs)
    engine = Engine(
        model,
        cache,
        Vocabulary(folder),
        eos_ids=eos_ids,
        max_context=context,
        max_running=max_running,
        max_waiting=max_waiting,
        store=store,
        thread=thread,
        speculate=speculate,
        spill=spill,
    )
    engine.start()
    return engine


def page_work(config: Any, shape: PageShape) -> PageWork:
    """Return the work of computing a page. ``config``: transformers' configuration of a decoder."""
    return PageWork.of(
        layers=shape.layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        intermediate=config.intermediate_size,
    )


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * AUTO_SHARE)
    return int(psutil.virtual_memory().available * AUTO_SHARE)


def keep_freed_memory() -> None:
    """Let glibc reuse freed activations rather than return and fault them in again at every layer.

    M_MMAP_THRESHOLD (-3), M_TRIM_THRESHOLD (-1) and M_ARENA_MAX (-8) of mallopt(3): arenas of other threads than
    the first are made of 64 MiB pieces that are unmapped whenever they are empty (a prefill of 7,500 tokens had
    980,000 page faults, and has 15,000 with one arena). Does nothing without mallopt: only speed depends on it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(-3, 256 * 2**20)
    mallopt(-1, 512 * 2**20)
    mallopt(-8, 1)
