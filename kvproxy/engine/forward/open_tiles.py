"""The choice of a model's tiles: kernels that read the pages in place on a CUDA device, else torch's operations."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import nn

from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.forward.plain_tiles import PlainTiles
from kvproxy.engine.forward.tiles import Tiles


def open_tiles(body: Any, head: nn.Module, config: Any, shape: PageShape, device: torch.device) -> Tiles:
    """Make the device's tiles, and measure them. Takes ``body`` (the model without its output head) over.

    Example: ``open_tiles(model.get_decoder(), head, model.config, shape, torch.device("cpu"))``
    """
    if device.type == "cuda" and has_triton():
        from kvproxy.engine.forward.cuda.paged_tiles import PagedTiles, can_page

        if can_page(config, shape):
            return PagedTiles(body, head, config, shape, device)
    return PlainTiles(body, config, shape, device)


def has_triton() -> bool:
    """Return whether Triton is installed: it comes with torch's builds for CUDA devices, and with no other."""
    return importlib.util.find_spec("triton") is not None
