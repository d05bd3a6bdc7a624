"""Baseline: transformers on the same weights, with the attention that it chooses itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache, StoppingCriteriaList
from transformers.utils import logging as hf_logging

from kvproxy.bench.engine.random_models import random_module, shape_named
from kvproxy.engine.forward.tile_model import pick_device
from kvproxy.engine.models.host import read_host
from kvproxy.engine.models.source import resolve_model
from kvproxy.errors import SetupError

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def load_plain(
    model: str,
    dtype: str = "bfloat16",
    *,
    cache_dir: Path,
    revision: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Any:
    """Return a transformers module in evaluation mode: of ``shape:NAME`` with random weights, or of a model's files.

    ``cache_dir``: where the bundled model is converted to. Raises SetupError when there is no such
    model, or no such dtype.

    Example: ``load_plain("smollm2-135m", "float32", cache_dir=folder)``
    """
    if dtype not in DTYPES:
        raise SetupError(f"there is no dtype {dtype} here; it is one of {', '.join(DTYPES)}")
    say = say or (lambda _: None)
    shape = shape_named(model)
    if shape is not None:
        say("making random weights")
        return random_module(shape, DTYPES[dtype])
    folder = resolve_model(model, revision=revision, cache_dir=cache_dir)
    say("loading weights")
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder.path, dtype=DTYPES[dtype], local_files_only=True
    )
    return loaded.requires_grad_(False).eval()


@dataclass(frozen=True, slots=True)
class Generated:
    """Times in seconds; ``gaps_s`` between one token and the next."""

    tokens: tuple[int, ...]
    ttft_s: float
    gaps_s: tuple[float, ...]


class Baseline:
    """A model as transformers runs it: the prompt in one go, a DynamicCache, greedy."""

    def __init__(self, model: Any, device: str = "cpu") -> None:
        self._device = pick_device(device)
        self._model = model.eval().to(self._device)

    @torch.inference_mode()
    def first_token(self, token_ids: Sequence[int]) -> float:
        """Seconds until the first new token of this prompt, by ``generate()``."""
        ids = torch.tensor([list(token_ids)], device=self._device)
        mask = torch.ones_like(ids)
        began = time.perf_counter()
        self._model.generate(ids, attention_mask=mask, max_new_tokens=1, do_sample=False, eos_token_id=-1)
        return time.perf_counter() - began

    @torch.inference_mode()
    def generate(self, token_ids: Sequence[int], new: int) -> Generated:
        """Generate ``new`` tokens as ``generate()`` does, without the checks that it makes between two tokens."""
        cache = DynamicCache(config=self._model.config)
        ids = torch.tensor([list(token_ids)], device=self._device)
        tokens: list[int] = []
        times = [time.perf_counter()]
        for _ in range(new):
            out = self._model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            ids = out.logits[:, -1:].argmax(-1)
            tokens.append(int(ids))
            times.append(time.perf_counter())
        gaps = tuple(b - a for a, b in pairwise(times[1:]))
        return Generated(tuple(tokens), times[1] - times[0], gaps)

    @torch.inference_mode()
    def answer(self, token_ids: Sequence[int], new: int, *, lookup: int | None = None) -> Generated:
        """Run ``generate()`` greedily: at most ``new`` tokens. ``lookup``: drafts of so many tokens, its
        ``prompt_lookup_num_tokens``; those that were accepted together come without a gap.

        Example: ``baseline.answer(token_ids, 64, lookup=3)``
        """
        ids = torch.tensor([list(token_ids)], device=self._device)
        seen: list[tuple[int, float]] = []

        def note(so_far: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
            seen.append((so_far.shape[1], time.perf_counter()))
            return torch.zeros(so_far.shape[0], dtype=torch.bool, device=so_far.device)

        began = time.perf_counter()
        out: Any = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new,
            do_sample=False,
            prompt_lookup_num_tokens=lookup,
            stopping_criteria=StoppingCriteriaList([note]),
        )
        tokens: list[int] = out[0, ids.shape[1] :].tolist()
        gaps = tuple(gap for (n, a), (m, b) in pairwise(seen) for gap in (b - a, *[0.0] * (m - n - 1)))
        return Generated(tuple(tokens), seen[0][1] - began, gaps)


def kernels_found() -> dict[str, Any]:
    """Describe torch's build, instruction set and threads, to be quoted with every figure."""
    host = read_host()
    return {
        "instructions": host.capability,
        "fast_bf16": host.fast_bf16,
        "threads": torch.get_num_threads(),
        "torch": host.torch,
        "cuda": host.cuda,
        "transformers": version("transformers"),
    }
