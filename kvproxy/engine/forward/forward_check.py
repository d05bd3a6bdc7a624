"""The check that tiles compute the same logits as transformers' own forward, on a loaded model's weights.

For the families without a native decoder. Their forward is transformers' code, of which the configuration says little:
layers that run otherwise than one row by itself, or with attention that does not go through the interface, are seen
here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.forward.attention.call_plan import Segment
from kvproxy.engine.forward.invariance import BASE_TILE, DECODE_TILE, Numerics
from kvproxy.errors import SetupError

_ROUTING = frozenset({"topk", "sort", "argmax", "nonzero", "histc", "bincount", "_grouped_mm", "multinomial"})
"""Operations that choose among weights by a row's content."""
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
    rows = min(BASE_TILE, int(config.max_position_embeddings))
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
    run: Callable[[Any, torch.Tensor], torch.Tensor],
    tile: Callable[[Sequence[int], Sequence[int], Sequence[Segment]], Any],
    head: Callable[[torch.Tensor], torch.Tensor],
    *,
    reference: ReferenceForward,
    config: Any,
    shape: PageShape,
    numerics: Numerics,
    device: torch.device,
) -> None:
    """Compare the reference with tiles, and one tile with the same prompt cut in two and in decode's tile.

    ``run``: (tile, the pool's tensor) -> [M, hidden]; ``tile`` and ``head``: see ``TileModel``. Raises SetupError that
    says what differs.

    Example: ``check_forward(run, tile, head, reference=r, config=config, shape=shape, numerics=n, device=device)``
    """
    ids = reference.token_ids

    def computed(*cuts: int) -> tuple[torch.Tensor, bytes]:
        """Return hidden states of all rows, and the page, of the prompt cut at ``cuts``."""
        pool = PagePool(shape, 2, device)
        parts = []
        for start, end in zip((0, *cuts), (*cuts, len(ids)), strict=True):
            size = numerics.tile_for(end - start) if end - start > DECODE_TILE else DECODE_TILE
            padding = [0] * (size - (end - start))
            made = tile(
                [*ids[start:end], *padding],
                [*range(start, end), *padding],
                [Segment(0, start, end - start, [1])],
            )
            parts.append(run(made, pool.kv)[: end - start])
        return torch.cat(parts), pool.read(1)

    try:
        with torch.inference_mode():
            hidden, page = computed()
            logits = head(hidden)
            others = [computed(_CUT), computed(len(ids) - DECODE_TILE)] if len(ids) == BASE_TILE else []
    except Exception as e:  # whatever a family's own code raises
        raise refusal(config, f"its forward does not run on tiles ({_summary(e)})") from e
    spread = float(reference.logits.std()) or 1.0
    away = float((logits - reference.logits).abs().max()) / spread
    if not away < 10 * _FARTHEST[shape.dtype] or not _mean_away(logits, reference) < _FARTHEST[shape.dtype]:
        raise refusal(
            config, f"its logits on tiles are {away:.2g} standard deviations from transformers' own forward"
        )
    if not numerics.exact:
        return  # No hit is claimed exact then.
    shared = others if numerics.unified else others[:1]
    if any(not torch.equal(h, hidden) or p != page for h, p in shared):
        raise refusal(config, "a prompt that is computed in two parts gets other bits than in one")


def refusal(config: Any, reason: str) -> SetupError:
    """Return the error for a model that cannot be served, with the reason and the models that can."""
    return SetupError(
        f"{getattr(config, 'model_type', 'this model')} cannot be served: {reason}. "
        "kvproxy needs a dense decoder with full attention and RoPE, such as Qwen3, Qwen2 or Llama."
    )


def _mean_away(logits: torch.Tensor, reference: ReferenceForward) -> float:
    return float((logits - reference.logits).abs().mean() / (reference.logits.std() + 1e-9))


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
