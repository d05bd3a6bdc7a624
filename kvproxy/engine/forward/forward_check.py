"""The check that tiles compute the same logits as transformers' own forward, on a loaded model's weights.

For models whose layers are transformers' own code, of which the configuration says little: layers that run otherwise
than one row by itself, or with attention that does not go through the interface, are seen here.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.tiling.segment import Segment
from kvproxy.engine.tiling.tiles import Tiles
from kvproxy.errors import SetupError

_ROUTING = frozenset({"topk", "sort", "argmax", "nonzero", "histc", "bincount", "_grouped_mm", "multinomial"})
"""Operations that choose among weights by a row's content."""
_ROWS = 64
_CUT = 37
_FARTHEST = {torch.float32: 2e-3, torch.bfloat16: 0.2}
"""The most that logits may be away from transformers' own, as a share of their spread: rounding stays 10 times below.
"""


@dataclass(frozen=True, slots=True)
class ReferenceForward:
    """The result of transformers' own forward on one prompt."""

    token_ids: tuple[int, ...]
    logits: torch.Tensor
    """float32 [R, vocab]"""


def take_reference(model: Any) -> ReferenceForward:
    """Run transformers' forward, before its layers are taken over. ``model``: a transformers causal LM.

    Raises SetupError for a model that routes rows to experts, and for one that cannot be run.
    """
    config = model.config
    if reason := _expert_weights(model.get_decoder()):
        raise refusal(config, reason)
    rows = min(_ROWS, int(config.max_position_embeddings))
    generator = torch.Generator().manual_seed(20260613)
    ids = torch.randint(int(config.vocab_size), (rows,), generator=generator)
    device = next(model.parameters()).device
    chosen = config._attn_implementation
    try:
        model.set_attn_implementation("eager")
        with torch.inference_mode(), _Operations() as seen:
            logits = model(input_ids=ids[None].to(device), use_cache=False).logits[0].float()
    except Exception as e:  # whatever a family's own code raises
        raise refusal(config, f"transformers' own forward fails on it ({_summary(e)})") from e
    finally:
        model.set_attn_implementation(chosen)
    if routing := seen.names & _ROUTING:
        raise refusal(config, f"it routes rows by their content ({', '.join(sorted(routing))})")
    return ReferenceForward(tuple(ids.tolist()), logits)


def check_forward(
    tiles: Tiles, *, reference: ReferenceForward, config: Any, shape: PageShape, device: torch.device
) -> None:
    """Compare the logits of tiles with the reference's, and a prompt in two parts with the same prompt in one.

    Raises SetupError, which names the difference, where they are not the same but for rounding.

    Example: ``check_forward(tiles, reference=reference, config=model.config, shape=shape, device=device)``
    """
    ids = reference.token_ids

    def computed(*cuts: int) -> torch.Tensor:
        """Return the logits of all rows of the prompt cut at ``cuts``."""
        pool = PagePool(shape, 2, device, tiles.page_layout)
        parts = []
        for start, end in itertools.pairwise((0, *(cut for cut in cuts if cut < len(ids)), len(ids))):
            tile = tiles.tile(ids[start:end], range(start, end), [Segment(0, start, end - start, [1])])
            parts.append(tiles.run(tile, pool.kv)[: end - start])
        return tiles.logits(torch.cat(parts))

    try:
        with torch.inference_mode():
            whole, in_parts = computed(), computed(_CUT)
    except Exception as e:  # whatever a family's own code raises
        raise refusal(config, f"its forward does not run on tiles ({_summary(e)})") from e
    if (away := _far(whole, reference.logits, shape.dtype)) is not None:
        raise refusal(
            config, f"its logits on tiles are {away:.2g} standard deviations from transformers' own forward"
        )
    if _far(in_parts, whole, shape.dtype) is not None:
        raise refusal(config, "a prompt that is computed in two parts gets other logits than in one")


def refusal(config: Any, reason: str) -> SetupError:
    """Return the error for a model that cannot be served, with the reason and the models that can."""
    return SetupError(
        f"{getattr(config, 'model_type', 'this model')} cannot be served: {reason}. "
        "kvproxy needs a dense decoder with full attention and RoPE, such as Qwen3, Qwen2 or Llama."
    )


def _far(logits: torch.Tensor, reference: torch.Tensor, dtype: torch.dtype) -> float | None:
    """Return the largest distance in standard deviations where logits differ by more than rounding, else None."""
    spread = float(reference.std()) or 1.0
    distance = (logits - reference).abs() / spread
    largest, mean = float(distance.max()), float(distance.mean())
    near = largest < 10 * _FARTHEST[dtype] and mean < _FARTHEST[dtype]
    return None if near else largest


def _expert_weights(body: nn.Module) -> str | None:
    """Return a sign of experts, or None.

    Of a dense decoder every weight is a vector or a matrix, and each layer has one block of a kind.
    """
    for name, parameter in body.named_parameters():
        if parameter.dim() > 2:
            return f"'{name}' holds the matrices of several experts"
    for name, module in body.named_modules():
        if isinstance(module, nn.ModuleList) and "." in name:
            parts = [part for part in module if any(p.dim() > 1 for p in part.parameters())]
            if len(parts) > 1:
                return f"'{name}' is a list of blocks to choose from"
    return None


class _Operations(TorchDispatchMode):
    """The names of the operations that run inside of it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch annotates no arguments of it
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def _summary(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
