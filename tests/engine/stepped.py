"""A model whose tiles are counted, held and broken by a test."""

from __future__ import annotations

import threading

import torch

from kvproxy.engine.forward.module_decoder import Steps
from kvproxy.engine.forward.tiles import Tile
from tests.engine.tiny import make_model


class SteppedModel:
    """The tiny Llama, counting prompt rows; it can be held before each tile, and made to fail."""

    def __init__(self) -> None:
        self.model = make_model("llama", torch.bfloat16)
        self.rows = 0
        """Rows that wrote KV into a page."""
        self.tiles = 0
        self.fail_at: int | None = None
        self._steps = self.model.tiles.steps
        self._held = threading.Event()
        self._held.set()
        self.model.tiles.steps = self._step  # type: ignore[method-assign]  # the double is the model, instrumented

    def _step(self, tile: Tile, kv: torch.Tensor) -> Steps:
        assert self._held.wait(60)
        self.tiles += 1
        if self.fail_at is not None and self.tiles >= self.fail_at:
            self.fail_at = None
            raise RuntimeError("the kernel broke")
        self.rows += tile.written
        return (yield from self._steps(tile, kv))

    def hold(self) -> None:
        """The next tile waits; what is submitted now is all there when it ends."""
        self._held.clear()

    def go(self) -> None:
        self._held.set()
