"""`load_quantised`: the transformers model of a folder whose weights are quantised."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from kvproxy.engine.quantised.gguf_folder import WEIGHTS, open_weights
from kvproxy.engine.quantised.grouped_weights import check_method, grouped_weights
from kvproxy.engine.quantised.quantised_model import Weight, assemble


def is_quantised(folder: Path, config: Any) -> bool:
    """Return whether the folder has a GGUF file or a ``quantization_config``. ``config``: transformers'.

    Raises SetupError for a way of quantising that cannot be read.
    """
    if (folder / WEIGHTS).exists():
        return True
    method = getattr(config, "quantization_config", None)
    if method is None:
        return False
    check_method(method)
    return True


def load_quantised(folder: Path, config: Any, *, dtype: torch.dtype, attention: str, keep: bool) -> Any:
    """Load a folder for which `is_quantised` holds.

    ``keep``: weights stay quantised, for the native kernels; else they are dequantised to ``dtype``. Raises SetupError.

    Example: ``load_quantised(folder, config, dtype=torch.bfloat16, attention="sdpa", keep=True)``
    """
    file = open_weights(folder)
    plain = deepcopy(config)
    weights: Iterator[tuple[str, Weight]]
    if file is None:
        del plain.quantization_config
        weights = grouped_weights(_safetensors(folder), config.quantization_config)
    else:
        weights = file.weights()
    model = assemble(plain, weights, dtype=dtype, attention=attention, keep=keep)
    if file is not None and (factors := file.rope_factors()) is not None:
        rotary = model.get_decoder().rotary_emb
        rotary.inv_freq = rotary.inv_freq / factors
    return model


def _safetensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors
