"""Page keys: the identity of a page of KV, as a hash chain over everything its bits depend on."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence


def root_key(fingerprint: str) -> bytes:
    """Return the parent key of every first page: 32 bytes that differ whenever the bits of the KV could differ."""
    return hashlib.sha256(b"kvproxy-root\0" + fingerprint.encode()).digest()


def page_key(parent: bytes, token_ids: Sequence[int]) -> bytes:
    """Return sha256(parent key, the page's token ids as uint32). A hit is still confirmed by comparing token ids."""
    return hashlib.sha256(parent + array("I", token_ids).tobytes()).digest()
