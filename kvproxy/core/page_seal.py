"""`PageSeal`: encryption of stored frames, as a page store uses it, and `SealBroken`."""

from __future__ import annotations

from typing import Protocol

TOKEN_IDS = 2**32 - 1
"""Frame index under which a page's token ids are sealed: they are the document's text."""


class SealBroken(Exception):
    """A sealed frame that this key did not seal, or not for this page and place. Its page is not used."""


class PageSeal(Protocol):
    """Protocol of an authenticated cipher for frames. Methods may be called from any thread at once."""

    def seal(self, key: bytes, index: int, frame: bytes | memoryview) -> bytes:
        """Encrypt frame ``index`` of the page with this stored key.

        Example: ``stored = cipher.seal(page_key, 0, frame)``
        """

    def open(self, key: bytes, index: int, frame: bytes | memoryview) -> bytes:
        """Decrypt what :meth:`seal` returned for the same key and index. Raises SealBroken.

        Example: ``frame = cipher.open(page_key, 0, stored)``
        """
