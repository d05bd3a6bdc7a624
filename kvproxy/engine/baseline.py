"""What a person would run without this project: transformers' ``generate()`` on the same model folder."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as hf_logging

from kvproxy.engine.host import read_host
from kvproxy.engine.model import pick_device


class Baseline:
    """A model as transformers loads it, with the attention that transformers chooses."""

    def __init__(self, folder: Path, dtype: str, device: str) -> None:
        hf_logging.set_verbosity_error()
        hf_logging.disable_progress_bar()
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype={"bfloat16": torch.bfloat16, "float32": torch.float32}[dtype], local_files_only=True
        )
        self._device = pick_device(device)
        self._model = model.eval().to(self._device)

    def first_token(self, token_ids: Sequence[int]) -> float:
        """Seconds until the first new token of this prompt."""
        ids = torch.tensor([list(token_ids)], device=self._device)
        mask = torch.ones_like(ids)
        began = time.perf_counter()
        with torch.inference_mode():
            self._model.generate(ids, attention_mask=mask, max_new_tokens=1, do_sample=False)
        return time.perf_counter() - began


def machine() -> dict[str, Any]:
    """The machine's shape, to be quoted with every figure."""
    host = read_host()
    return {
        "cpu": host.capability,
        "fast_bf16": host.fast_bf16,
        "threads": torch.get_num_threads(),
        "torch": host.torch,
        "cuda": host.cuda,
        "system": platform.platform(),
    }
