"""A model whose tiles are counted, held and broken by a test."""

from __future__ import annotations

import threading
import time
from typing import Any

import torch

from kvproxy.engine.tiling.tiles import Steps, Tile
from tests.engine.tiny import make_model


class SteppedModel:
    """The tiny Llama, counting prompt rows; it can be held before each tile, and made to fail."""

    def __init__(self) -> None:
        self.model = make_model("llama", torch.bfloat16)
        self.rows = 0
        """Rows that wrote KV into a page."""
        self.tiles = 0
        self.fail_at: int | None = None
        self.delay_s = 0.0
        """Seconds before each tile: tiny tiles are over sooner than a test can look."""
        tiles: Any = self.model.tiles
        self._run, self._steps = tiles.run, tiles.steps
        tiles.run, tiles.steps = self._counted_run, self._counted_steps
        self._held = threading.Event()
        self._held.set()

    def _counted_run(self, tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        self._count(tile)
        hidden: torch.Tensor = self._run(tile, kv)
        return hidden

    def _counted_steps(self, tile: Tile, kv: torch.Tensor) -> Steps:
        self._count(tile)
        hidden: torch.Tensor = yield from self._steps(tile, kv)
        return hidden

    def _count(self, tile: Tile) -> None:
        assert self._held.wait(60)
        time.sleep(self.delay_s)
        self.tiles += 1
        if self.fail_at is not None and self.tiles >= self.fail_at:
            self.fail_at = None
            raise RuntimeError("the kernel broke")
        self.rows += tile.written

    def hold(self) -> None:
        """The next tile waits; what is submitted now is all there when it ends."""
        self._held.clear()

    def go(self) -> None:
        self._held.set()
