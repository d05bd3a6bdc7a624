"""`document_path`: the address of a document, whatever its name."""

from __future__ import annotations

from urllib.parse import quote

from kvproxy.client.request_failed import RequestFailed

_NO_NAMES = frozenset(("", ".", ".."))
"""Segments that are gone once a path is normalised."""


def document_path(ref: str) -> str:
    """Return the path of a document.

    A name that could be taken for a way to another document, as ``a/../b``, travels as one segment: neither httpx nor
    a proxy on the way then makes ``b`` of it.
    """
    segments = ref.split("/")
    if len(segments) == 1 and ref in _NO_NAMES:
        raise RequestFailed(f"'{ref}' names no document")
    plain = _NO_NAMES.isdisjoint(segments)
    return "/kv/v1/documents/" + quote(ref, safe="@/" if plain else "@")
