"""The digest of a fixed computation: the bits that this process's kernels give one model's layers.

Part of the engine fingerprint. A library's version, an instruction set and an environment variable are reasons for
other bits, and no list of reasons is complete; pages are made of the results.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.tiling.segment import Segment
from kvproxy.engine.tiling.tiles import Tiles

_SEED = 20260613
_ROWS = 64
_PAGES = 5
"""Pages of fixed KV before the rows: more than one stretch of any kernel."""
_DENORMAL = 2.0**-130
_SHARE = 2**16
"""Elements that each of torch's threads gets at least of an elementwise function."""


@torch.inference_mode()
def kernel_digest(tiles: Tiles, shape: PageShape, *, vocab: int, context: int, device: torch.device) -> str:
    """Return sha256 (hex) over the K, V, hidden states and logits of a fixed prompt and of the row behind it.

    The rows stand behind pages of fixed KV, as many as the context allows. ``vocab``: number of token ids; ``context``:
    positions that the model has. Neither reads nor advances a global random generator.

    Example: ``kernel_digest(tiles, shape, vocab=49152, context=8192, device=device)``
    """
    shallow, layers = tiles.shallow()
    generator = torch.Generator().manual_seed(_SEED)
    before = max(0, min(_PAGES, context // PAGE_TOKENS - 1))
    start = before * PAGE_TOKENS
    pool = PagePool(replace(shape, layers=layers), before + 2, device, tiles.page_layout)
    for page in range(1, before + 1):
        # Alike in all layers.
        size = (2, shape.kv_heads, PAGE_TOKENS, shape.head_dim)
        rows = torch.randn(size, generator=generator).to(shape.dtype).expand(layers, *size)
        pool.write(page, rows.contiguous().view(torch.uint8).numpy().tobytes())
    ids = torch.randint(vocab, (_ROWS + 1,), generator=generator).tolist()[: context - start]
    pages = list(range(1, before + 2))
    digest = hashlib.sha256()
    for first, end in ((0, len(ids) - 1), (len(ids) - 1, len(ids))):
        count = end - first
        segment = Segment(0, start + first, count, pages)
        tile = shallow.tile(ids[first:end], range(start + first, start + end), [segment])
        hidden = shallow.run(tile, pool.kv)[:count]
        _add(digest, hidden)
        _add(digest, tiles.logits(hidden))
    digest.update(pool.read(before + 1, len(ids)))
    # No layer's activations are denormal; whether threads flush such numbers shows here alone.
    _add(digest, torch.full((torch.get_num_threads() * _SHARE,), _DENORMAL, device=device).mul_(0.5).unique())
    return digest.hexdigest()


def _add(digest: hashlib._Hash, x: torch.Tensor) -> None:
    content: memoryview = x.contiguous().cpu().view(torch.uint8).numpy().data
    digest.update(content)
