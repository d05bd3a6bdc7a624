"""`Graphs`: CUDA graphs, kernels that are recorded once for each tile shape and replayed."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from kvproxy.engine.forward.cuda.tile_layout import TileShape

logger = logging.getLogger(__name__)

MOST_GRAPHS = 128


class Graphs:
    """A graph for each tile shape, all in one memory: they run one after another, and a result is copied out."""

    def __init__(self, device: torch.device) -> None:
        """Start without graphs; on another device than CUDA none is ever recorded."""
        self._cuda = device.type == "cuda"
        self._memory = self._new_memory()
        self._recorded: dict[TileShape, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}
        self._addresses: tuple[object, ...] = ()
        self.compiled = False
        """Whether every kernel has run in every tile size: a launch that compiles or loads a kernel cannot be recorded.
        """

    def run(
        self, shape: TileShape, addresses: tuple[object, ...], kernels: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        """Return the result of ``kernels()``, replayed where it was recorded.

        It must only launch kernels, on tensors at the ``addresses``: with other addresses everything is recorded anew.

        Example: ``graphs.run(tile.shape, (kv.data_ptr(),), lambda: decoder(tile))``
        """
        if not self.compiled:
            return kernels()
        if addresses != self._addresses or len(self._recorded) >= MOST_GRAPHS:
            self._recorded.clear()
            self._addresses = addresses
            self._memory = self._new_memory()
        if shape not in self._recorded:
            try:
                self._recorded[shape] = self._record(kernels)
            except RuntimeError as e:
                logger.warning(
                    "a tile could not be recorded, its kernels are launched one by one: %s",
                    str(e).partition("\n")[0],
                )
                self._memory = self._new_memory()
                return kernels()
        graph, out = self._recorded[shape]
        graph.replay()
        return out.clone()

    def _new_memory(self) -> Any:
        # The memory of a graph that is gone, or of a failed recording, cannot be given to another graph.
        return torch.cuda.graph_pool_handle() if self._cuda else None

    def _record(self, kernels: Callable[[], torch.Tensor]) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        torch.cuda.current_blas_handle()  # Each thread has its own, which cannot be made while recording.
        graph = torch.cuda.CUDAGraph()
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with _no_collection(), torch.cuda.stream(side):
            # Other threads may use the device meanwhile.
            graph.capture_begin(pool=self._memory, capture_error_mode="thread_local")
            try:
                out = kernels()
            finally:
                graph.capture_end()
        current.wait_stream(side)
        return graph, out


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep garbage collection from freeing another model's graphs, which would spoil the recording.

    torch.cuda.graph() collects garbage first instead, which takes 100 ms.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
