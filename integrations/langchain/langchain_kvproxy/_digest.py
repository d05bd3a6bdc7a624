"""`text_digest`: the sha256 of a document's text, as the proxy computes it."""

from __future__ import annotations

import hashlib


def text_digest(text: str) -> str:
    """Return the sha256 of a text in hex, which is the proxy's ETag of a document with this text.

    Example:
        ```python
        from langchain_kvproxy import text_digest

        assert text_digest("Leave is 30 days.") == text_digest("Leave is 30 days.")
        ```
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
