"""`SpillFolder`: files of pages evicted from memory, valid for the life of this process."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from kvproxy.errors import SetupError
from kvproxy.store import page_file
from kvproxy.store.page_packing import PagePacking, rejected
from kvproxy.store.page_record import Torn
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected
from kvproxy.store.store_folder import make_folder

logger = logging.getLogger(__name__)


class SpillFolder:
    """Named page files in the page store's format, checksums included, but without its index and its fsync.

    Only memory knows which page a file holds, so a restart has nothing to find them by, and empties the folder. All
    methods may be called from any thread; for one name, one at a time. The page store's lock on the folder above keeps
    other processes away.
    """

    def __init__(self, folder: Path, *, max_size: int, packing: PagePacking) -> None:
        """Create ``folder``, or empty it. ``max_size`` in bytes is the caller's to keep. Raises SetupError.

        Example: ``SpillFolder(store_path / "spill", max_size=8 * 2**30, packing=pages.packing)``
        """
        self.max_size = max_size
        self._folder = folder
        self._packing = packing
        make_folder(folder)
        try:
            self.clear()
        except OSError as e:
            raise SetupError(f"cannot empty the spill folder {folder} ({e.strerror}); remove it") from e

    def put(self, name: str, key: bytes, parent: bytes, token_ids: Sequence[int], payload: Buffer) -> None:
        """Write one page. Raises OSError, and leaves nothing behind.

        Example: ``files.put("1f", node.key, node.parent_key, node.token_ids, payload)``
        """
        packed = self._packing.pack(key, parent, token_ids, page_file.flat(payload))
        path = self._path(name)
        try:
            with FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                for buffer in packed.buffers:
                    self.fill(file, memoryview(buffer))
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise

    def fill(self, file: FileIO, rest: memoryview) -> None:
        """Append ``rest`` to the file. A method of its own: tests put a full disk here."""
        while rest:
            rest = rest[file.write(rest) :]

    def get(
        self,
        name: str,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        into: Buffer | LayerRoom | None = None,
    ) -> Loaded | Missing | Rejected:
        """Read a page and verify all of it. ``into`` as in ``PageStore.get``.

        Example: ``files.get("1f", node.key, node.parent_key, node.token_ids, into=buffer)``
        """
        try:
            file = FileIO(self._path(name))
        except FileNotFoundError:
            return Missing()
        except OSError as e:
            return Rejected(f"it cannot be opened: {e.strerror}")
        with file:
            record = page_file.read_record(file)
            if isinstance(record, Torn):
                return Rejected(record.reason)
            if record.key != key:
                return Rejected("the file holds another page's key")
            if fault := self._packing.mismatch(record, parent, token_ids):
                return Rejected(fault)
            return rejected(self._packing.read(file, record, into))

    def delete(self, name: str) -> None:
        """Delete a page, if there is one; a file that cannot be removed is logged, and removed at the next start."""
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as e:
            logger.warning(
                "spilled page %s cannot be removed now; the next start removes it: %s", name, e.strerror
            )

    def clear(self) -> None:
        """Remove every page. Raises OSError."""
        for path in self._folder.glob("*.page"):
            path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.page"
