"""The choice of a model's tiles: kernels of our own on a CPU, Triton's on a CUDA device, else torch's operations."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.forward.forward_check import check_forward, refusal, take_reference
from kvproxy.engine.forward.native_modules import ModuleTiles, attends_natively
from kvproxy.engine.forward.torch_causes import has_triton
from kvproxy.engine.forward.torch_tiles import TorchTiles
from kvproxy.engine.native.kernel_library import NoKernels, load_kernels
from kvproxy.engine.native.native_decoder import runs_natively
from kvproxy.engine.native.native_tiles import NativeTiles
from kvproxy.engine.tiling.tiles import Tiles
from kvproxy.errors import SetupError

logger = logging.getLogger(__name__)


def open_tiles(model: Any, shape: PageShape, device: torch.device) -> Tiles:
    """Make the device's tiles, and check their forward where its layers are transformers' own.

    ``model``: a transformers causal LM, which is taken over. Raises SetupError when it cannot be served.

    Example: ``open_tiles(model, shape, torch.device("cpu"))``
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise SetupError("this model has no plain output head; kvproxy cannot serve it")
    body, config = model.get_decoder(), model.config
    if device.type == "cuda" and has_triton():
        from kvproxy.engine.forward.cuda.paged_tiles import PagedTiles, can_fuse, can_page

        if can_page(config, shape):
            if can_fuse(config):
                return PagedTiles(body, head, config, shape, device)
            return _checked(model, shape, device, lambda: PagedTiles(body, head, config, shape, device))
    if device.type == "cpu":
        kernels = load_kernels()
        if isinstance(kernels, NoKernels):
            logger.warning("torch computes, which is slower: %s; %s", kernels.reason, kernels.advice)
        elif runs_natively(config, shape.dtype):
            return NativeTiles(kernels, body, head, config, shape)
        elif attends_natively(shape):
            return _checked(model, shape, device, lambda: ModuleTiles(kernels, body, head, shape))
    return _checked(model, shape, device, lambda: TorchTiles(body, head, shape, device))


def _checked(model: Any, shape: PageShape, device: torch.device, make: Callable[[], Tiles]) -> Tiles:
    """Make tiles of transformers' layers, and compare them with transformers' own forward."""
    reference = take_reference(model)
    try:
        tiles = make()
    except (AttributeError, TypeError, AssertionError) as e:
        raise refusal(model.config, f"its layers are not built as tiles need them ({e})") from e
    check_forward(tiles, reference=reference, config=model.config, shape=shape, device=device)
    return tiles
