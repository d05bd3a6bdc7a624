"""`StaticFiles`: scripts and styles of the dashboard in memory, under URLs that change with their content."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"

CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""The types that are served; other files of the folder, licences among them, are not."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent."""

    content_type: str
    body: bytes
    compressed: bytes
    """The body as gzip."""


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """All served files by name, and the version that is in their URLs: a digest of all of them."""

    version: str
    files: Mapping[str, StaticFile]

    @classmethod
    def read(cls, folder: Path = FOLDER) -> StaticFiles:
        """Read every served file of a folder. Blocks: call it in a thread."""
        digest = hashlib.sha256()
        files = {}
        for path in sorted(p for p in folder.iterdir() if p.suffix in CONTENT_TYPES):
            body = path.read_bytes()
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(body).digest())
            files[path.name] = StaticFile(CONTENT_TYPES[path.suffix], body, gzip.compress(body, mtime=0))
        return cls(digest.hexdigest()[:12], files)

    def url(self, name: str) -> str:
        """Return the path of a file. Raises KeyError for a name that is not served."""
        if name not in self.files:
            raise KeyError(f"no static file '{name}'")
        return f"/ui/static/{self.version}/{name}"
