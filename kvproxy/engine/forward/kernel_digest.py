"""The digest of a fixed computation: the bits that this process's kernels give one model's layers.

Part of the engine fingerprint. A library's version, an instruction set and an environment variable are reasons for
other bits, and no list of reasons is complete; pages are made of the results. The computation is made twice, in other
parts: that a row's bits depend on its prefix alone is a property of the kernels, and checked here all the same.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, replace

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.tiling.segment import Segment
from kvproxy.engine.tiling.tiles import Tiles

_SEED = 20260613
_ROWS = 65
_CUTS = (64,)
_OTHER_CUTS = (1, 2, 4, 7, 12, 37, 64)
_PAGES = 5
"""Pages of fixed KV before the rows."""
_DENORMAL = 2.0**-130
_SHARE = 2**16
"""Elements that each of torch's threads gets at least of an elementwise function."""


@dataclass(frozen=True, slots=True)
class KernelDigest:
    """The result of the fixed computation."""

    sha256: str
    agrees: bool
    """Whether the other parts gave the same bits."""


@torch.inference_mode()
def kernel_digest(
    tiles: Tiles, shape: PageShape, *, vocab: int, context: int, device: torch.device
) -> KernelDigest:
    """Compute K, V, hidden states and logits of a fixed prompt: some rows, and one row behind them.

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
    ids = torch.randint(vocab, (_ROWS,), generator=generator).tolist()[: context - start]
    own = before + 1

    def computed(cuts: tuple[int, ...]) -> tuple[torch.Tensor, bytes]:
        """Return the hidden states of all rows, and their page, of the prompt cut at ``cuts``."""
        pool.clear(own)
        parts = []
        for first, end in itertools.pairwise((0, *(cut for cut in cuts if cut < len(ids)), len(ids))):
            segment = Segment(0, start + first, end - first, range(1, own + 1))
            tile = shallow.tile(ids[first:end], range(start + first, start + end), [segment])
            parts.append(shallow.run(tile, pool.kv)[: end - first])
        return torch.cat(parts), pool.read(own, len(ids))

    hidden, kept = computed(_CUTS)
    logits = tiles.logits(hidden)
    other_hidden, other_kept = computed(_OTHER_CUTS)
    other_logits = torch.cat([tiles.logits(row) for row in other_hidden[-3:].split(1)])
    digest = hashlib.sha256(kept)
    _add(digest, hidden)
    _add(digest, logits)
    # No layer's activations are denormal; whether threads flush such numbers shows here alone.
    _add(digest, torch.full((torch.get_num_threads() * _SHARE,), _DENORMAL, device=device).mul_(0.5).unique())
    same = kept == other_kept and torch.equal(hidden, other_hidden)
    return KernelDigest(digest.hexdigest(), same and torch.equal(logits[-3:], other_logits))


def _add(digest: hashlib._Hash, x: torch.Tensor) -> None:
    content: memoryview = x.contiguous().cpu().view(torch.uint8).numpy().data
    digest.update(content)
