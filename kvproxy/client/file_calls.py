"""`FileCalls`: the calls of `Client` about signed manifests, and documents that travel as files between hosts."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx

from kvproxy.client.document_path import document_path
from kvproxy.client.request_failed import RequestFailed

_PIECE = 2**18
"""Bytes of a file that are read and sent at a time."""


class FileCalls(ABC):
    """Calls about manifests and files, over the exchanges of the class that has them."""

    @abstractmethod
    def _exchange(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], httpx.Response]:
        """Return the answer's JSON object, and the answer."""

    @abstractmethod
    def _downloading(self, path: str) -> AbstractContextManager[httpx.Response]:
        """Open an answer that is read as it comes. Raises RequestFailed."""

    @abstractmethod
    def _streamed(
        self,
        path: str,
        body: dict[str, Any] | None,
        query: dict[str, str],
        progress: Callable[[int, int], None] | None,
        *,
        content: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any] | None:
        """Return the ``result`` event; None when the stream ended without one."""

    def manifest(self, ref: str) -> dict[str, Any]:
        """Return a version's signed manifest: ``jws``, which the host's JWKS verifies, and its decoded ``claims``.

        Example: ``client.manifest("handbook@3")["claims"]["document"]["etag"]``.
        """
        return self._exchange("GET", f"{document_path(ref)}/manifest")[0]

    def export_document(
        self, ref: str, file: Path | str, *, progress: Callable[[int, int], None] | None = None
    ) -> int:
        """Write an own version with its pages to a file, and return its bytes; ``progress(done, total)`` counts them,
        with a total of 0 where that is not known.

        The file is there as a whole or not at all. Example: ``client.export_document("handbook", "handbook.kvdoc")``.
        """
        target = Path(file)
        part = target.with_name(f"{target.name}.part")
        done = 0
        try:
            with part.open("wb") as out, self._downloading(f"{document_path(ref)}/export") as response:
                for piece in response.iter_bytes(_PIECE):
                    out.write(piece)
                    done += len(piece)
                    if progress is not None:
                        progress(done, 0)
            part.replace(target)
        except OSError as e:
            raise RequestFailed(f"cannot write {target}: {e.strerror}") from e
        finally:
            part.unlink(missing_ok=True)
        return done

    def import_document(
        self,
        file: Path | str,
        *,
        document: str | None = None,
        visibility: str | None = None,
        pages: str = "auto",
        pinned: bool | None = None,
        jwks: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Publish a document from a file that a host trusted by the proxy has exported, with its pages.

        ``document`` names it otherwise than the file does; ``visibility`` and ``pinned`` are as for `publish`.
        ``pages`` is ``"auto"`` (the text alone where the pages do not fit the proxy's engine), ``"required"`` (an error
        then) or ``"none"``; ``jwks`` has keys to trust for this file, for which the API key needs the scope ``admin``.
        ``progress(done, total)`` counts tokens. Returns ``info``, ``created``, ``pages`` taken and ``checked``,
        ``note`` and ``source``. Example: ``client.import_document("handbook.kvdoc")["note"]``.
        """
        query = {"pages": pages}
        if document is not None:
            query["id"] = document
        if visibility is not None:
            query["visibility"] = visibility
        if pinned is not None:
            query["pinned"] = "true" if pinned else "false"
        headers = {"content-type": "application/octet-stream"}
        if jwks is not None:
            told = base64.urlsafe_b64encode(json.dumps({"keys": jwks["keys"]}).encode())
            headers["x-kvproxy-trusted-jwks"] = told.decode().rstrip("=")
        path = "/kv/v1/documents/import"
        try:
            result = self._streamed(path, None, query, progress, content=_pieces(Path(file)), headers=headers)
        except OSError as e:
            raise RequestFailed(f"cannot read {file}: {e.strerror}") from e
        if result is None:
            raise RequestFailed(
                "the proxy ended the import without a result; look at its log and import again"
            )
        return result


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece
