"""The folder with the files that an MCP server may read."""

from __future__ import annotations

from pathlib import Path

from kvproxy.errors import InvalidRequest, SetupError

MAX_BYTES = 32 * 2**20


class RootFolder:
    """Reads UTF-8 files at or below one folder, and nothing else: not by ``..``, not by a link that leads out."""

    def __init__(self, folder: Path) -> None:
        """Resolve the folder. Raises SetupError where there is none."""
        if not folder.is_dir():
            raise SetupError(f"--root {folder} is no folder")
        self.folder = folder.resolve()

    def read(self, file: str) -> str:
        """Return the text of ``file``, a path relative to the folder. Raises InvalidRequest for whatever is no such
        text."""
        try:
            path = (self.folder / file).resolve()
            if not path.is_relative_to(self.folder):
                raise InvalidRequest(f"'{file}' is not below the folder that this server was given (--root)")
            if not path.is_file():
                raise InvalidRequest(f"there is no file '{file}' below the folder that this server was given")
            with path.open("rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        except (
            OSError,
            RuntimeError,
            ValueError,
        ) as e:  # a loop of links is a RuntimeError, a NUL a ValueError
            raise InvalidRequest(f"cannot read '{file}': {getattr(e, 'strerror', None) or e}") from e
        if len(data) > MAX_BYTES:
            raise InvalidRequest(f"'{file}' is larger than {MAX_BYTES // 2**20} MiB; publish its parts")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as e:
            raise InvalidRequest(f"'{file}' is not UTF-8 text (byte {e.start}); convert it first") from e
