"""`assemble`: a transformers model whose weights come one by one, quantised or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM

from kvproxy.engine.quantised.quantised_modules import QuantisedEmbedding, QuantisedLinear
from kvproxy.engine.quantised.quantised_tensor import QuantisedTensor
from kvproxy.errors import SetupError

Weight = QuantisedTensor | torch.Tensor


def assemble(
    config: Any, weights: Iterable[tuple[str, Weight]], *, dtype: torch.dtype, attention: str, keep: bool
) -> Any:
    """Make a causal LM of ``config`` (transformers') with the weights, which have transformers' names.

    ``keep``: quantised weights stay so, in `QuantisedLinear` and `QuantisedEmbedding`; else they are dequantised to
    ``dtype``. ``attention``: name of the attention implementation. Raises SetupError where weights are missing.

    Example: ``assemble(config, file.weights(), dtype=torch.bfloat16, attention="sdpa", keep=True)``
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    for name, weight in weights:
        _put(model, name, weight if keep else _plain(weight), dtype)
    _tie(model, config)
    body = model.get_decoder()
    # Computed tables are no weights: on the meta device they were not made.
    body.rotary_emb = type(body.rotary_emb)(config=config)
    missing = [name for name, p in model.named_parameters() if p.is_meta]
    if missing:
        raise SetupError(f"the model's files have no {missing[0]} ({len(missing)} weights are missing)")
    return model


def _plain(weight: Weight) -> torch.Tensor:
    return torch.from_numpy(weight.dequantised()) if isinstance(weight, QuantisedTensor) else weight


def _put(model: nn.Module, name: str, weight: Weight, dtype: torch.dtype) -> None:
    path, _, leaf = name.rpartition(".")
    try:
        module = model.get_submodule(path)
        expected = module.get_parameter(leaf).shape
    except AttributeError as e:
        raise SetupError(
            f"the model's files have a weight {name} that this architecture does not know"
        ) from e
    shape = (weight.rows, weight.width) if isinstance(weight, QuantisedTensor) else tuple(weight.shape)
    if shape != tuple(expected):
        raise SetupError(f"the weight {name} is of shape {shape}, not {tuple(expected)}")
    if not isinstance(weight, QuantisedTensor):
        module.register_parameter(leaf, nn.Parameter(weight.to(dtype), requires_grad=False))
        return
    made: nn.Module
    if isinstance(module, nn.Embedding):
        made = QuantisedEmbedding(weight, dtype)
    elif isinstance(module, nn.Linear):
        bias = module.bias
        made = QuantisedLinear(weight, None, dtype)
        made.bias = bias  # put later, if there is one
    else:
        raise SetupError(f"the weight {name} is quantised where only matrices can be")
    parent, _, own = path.rpartition(".")
    setattr(model.get_submodule(parent), own, made)


def _tie(model: Any, config: Any) -> None:
    if not config.tie_word_embeddings:
        return
    table = model.get_input_embeddings()
    if isinstance(table, QuantisedEmbedding):
        model.lm_head = QuantisedLinear(table.blocks, None, table.seen_as)
    else:
        model.lm_head.weight = table.weight
