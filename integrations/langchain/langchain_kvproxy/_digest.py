"""A digest that tells two texts apart."""

from __future__ import annotations

import hashlib


def text_digest(text: str) -> str:
    """The sha256 of a text in hex: what the proxy gives as the ETag of a document with this text.

    Example:
        ```python
        from langchain_kvproxy import text_digest

        assert text_digest("Leave is 30 days.") == text_digest("Leave is 30 days.")
        ```
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
