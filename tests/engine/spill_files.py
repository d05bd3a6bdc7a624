"""A spill folder in memory, and an engine's inbox that a test empties."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected


class MemoryFiles:
    """``error`` is what writes raise; with ``go`` cleared they wait."""

    def __init__(self, pages: int, page_bytes: int) -> None:
        self.max_size = pages * (page_bytes + 2 * 4096)
        self.files: dict[str, tuple[bytes, bytes]] = {}
        self.error: Exception | None = None
        self.go = threading.Event()
        self.go.set()
        self.calls: list[Callable[[], None]] = []
        self.cleared = 0

    def put(self, name: str, key: bytes, parent: bytes, token_ids: Sequence[int], payload: Buffer) -> None:
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        assert name not in self.files
        self.files[name] = key, bytes(payload)

    def get(
        self,
        name: str,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        into: Buffer | LayerRoom | None = None,
    ) -> Loaded | Missing | Rejected:
        if name not in self.files:
            return Missing()
        assert self.files[name][0] == key
        return Loaded(memoryview(bytearray(self.files[name][1])))

    def delete(self, name: str) -> None:
        self.files.pop(name, None)

    def clear(self) -> None:
        self.cleared += 1
        self.files.clear()

    def pump(self) -> None:
        """Do what was passed to the engine's thread."""
        while self.calls:
            self.calls.pop(0)()
