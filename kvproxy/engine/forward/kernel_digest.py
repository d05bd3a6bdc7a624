"""The digest of a fixed computation: the bits that this process's kernels give one model's layers.

Part of the engine fingerprint. A library's version, an instruction set and an environment variable are reasons for
other bits, and no list of reasons is complete; pages are made of the results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.forward.attention.call_plan import SPAN_PAGES, Segment
from kvproxy.engine.forward.interruptible import run_through
from kvproxy.engine.forward.invariance import BASE_TILE, DECODE_TILE, Numerics
from kvproxy.engine.forward.tiles import Tiles

_SEED = 20260613
_DENORMAL = 2.0**-130
_SHARE = 2**16
"""Elements that each thread gets at least of an elementwise function."""


@torch.inference_mode()
def kernel_digest(
    tiles: Tiles,
    head: Callable[[torch.Tensor], torch.Tensor],
    shape: PageShape,
    *,
    vocab: int,
    context: int,
    threads: int,
    device: torch.device,
) -> str:
    """Return sha256 (hex) over the K, V, hidden states and logits of a fixed prompt in every tile that may compute it.

    The rows stand behind pages of fixed KV, a whole span of them where the context is long enough, so that each kind of
    attention call is made. ``head``: [R, hidden] -> float32 [R, vocab]; ``vocab``: number of token ids; ``context``:
    positions that the model has; ``threads``: those of torch. Neither reads nor advances a global random generator.

    Example: ``kernel_digest(tiles, head, shape, vocab=49152, context=8192, threads=2, device=device)``
    """
    shallow, layers = tiles.shallow()
    whole_model = layers > 1
    generator = torch.Generator().manual_seed(_SEED)
    before = max(0, min(SPAN_PAGES + 1, context // PAGE_TOKENS - 1))
    kv = _pages(replace(shape, layers=layers), before, generator, device)
    ids = torch.randint(vocab, (PAGE_TOKENS,), generator=generator).tolist()
    digest = hashlib.sha256()
    own = before + 1
    for tile in _tile_sizes(tiles.numerics, whole_model):
        start = before * PAGE_TOKENS
        rows = min(tile, PAGE_TOKENS, context - start)
        kv[:, :, :, own].zero_()
        positions = [*range(start, start + rows), *([0] * (tile - rows))]
        segment = Segment(0, start, rows, list(range(1, own + 1)))
        hidden = run_through(shallow.steps(shallow.tile(_cycled(ids, tile), positions, [segment]), kv))[:rows]
        _add(digest, hidden)
        _add(digest, kv[:, :, :, own, :rows])
        if tile == DECODE_TILE:
            _add(digest, head(hidden))
    # No layer's activations are denormal; whether threads flush such numbers shows here alone.
    _add(digest, torch.full((threads * _SHARE,), _DENORMAL, device=device).mul_(0.5))
    return digest.hexdigest()


def _tile_sizes(numerics: Numerics, whole_model: bool) -> list[int]:
    """Return the tile sizes that fit a page; only two of a model that is run in full.

    The others were seen to agree with those two.
    """
    sizes = {BASE_TILE, DECODE_TILE} if whole_model else {*numerics.tiles, DECODE_TILE}
    return sorted(size for size in sizes if size <= PAGE_TOKENS)


def _pages(shape: PageShape, before: int, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Return a pool's tensor with random pages 1 to ``before``, alike in all layers; the next one is the prompt's."""
    pool = PagePool(shape, before + 2, device)
    size = (2, shape.kv_heads, before, PAGE_TOKENS, shape.head_dim)
    pool.kv[:, :, :, 1 : before + 1] = torch.randn(size, generator=generator).to(device, shape.dtype)
    return pool.kv


def _cycled(ids: list[int], count: int) -> list[int]:
    return [ids[i % len(ids)] for i in range(count)]


def _add(digest: hashlib._Hash, x: torch.Tensor) -> None:
    content: memoryview = x.contiguous().cpu().view(torch.uint8).numpy().data
    digest.update(content)
