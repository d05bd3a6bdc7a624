"""`namespace`: a secret name for a part of a host's data, an HMAC over framed parts."""

from __future__ import annotations

import hmac


def namespace(secret: bytes, *parts: str) -> str:
    """Return 32 hex digits that nobody without ``secret`` can compute, others for any other list of parts.

    HMAC-SHA256 over each part behind its length in 8 bytes, so that no two lists have the same bytes: ("ab", "c") and
    ("a", "bc") differ. A plain digest was rejected: names of stored pages are made of scopes, and whoever sees those
    names (an object store's operator) could try likely keys until one fits.

    Example:
        ``namespace(secret, "tenant", key)``
    """
    mac = hmac.new(secret, digestmod="sha256")
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        mac.update(len(data).to_bytes(8, "big") + data)
    return mac.hexdigest()[:32]
