"""Types of the answers about manifests and imports."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.kv_documents.document_types import DocumentBody, PublishProgress
from kvproxy.wire.service.service_types import OpenAIError


class KvManifest(TypedDict):
    """A version's manifest: what its host signed, and the signature over it.

    ``jws`` is a compact JWS of the type ``kvproxy-manifest+jws``, which the host's JWKS verifies; ``claims`` is its
    payload. They are described in docs/manifests.md.
    """

    object: Literal["kv_manifest"]
    document: str
    jws: str
    claims: dict[str, Any]


class ImportSource(TypedDict):
    """The version that was imported, as the host that signed it names it."""

    host: str
    document: str
    publisher: str


class KvImport(TypedDict):
    """The result of an import.

    ``pages`` were taken from the file, and ``checked`` of them computed again before. ``note`` is the reason why pages
    were computed here and not taken; empty where all were taken. ``created`` is false when the current version had
    this text already: nothing was taken then.
    """

    object: Literal["kv_import"]
    info: DocumentBody
    created: bool
    prefill_s: float
    pages: int
    checked: int
    note: str
    source: ImportSource


ImportEvent = PublishProgress | KvImport | OpenAIError
