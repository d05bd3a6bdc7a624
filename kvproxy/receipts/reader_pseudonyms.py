"""`ReaderPseudonyms`: the names of readers and receipts that a publisher sees, and no two publishers can join."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_PREFIX = "rcpt_"
_MOST_ID = 1024


@dataclass(frozen=True, slots=True)
class ReceiptName:
    """The read that a receipt's id stands for."""

    request_id: str
    index: int
    """The document's place in the request's charge."""


class ReaderPseudonyms:
    """Names made with one secret of the host, which must not change: the same reader would get another name."""

    def __init__(self, secret: bytes) -> None:
        """``secret``: at least 32 random bytes."""
        self._readers = hmac.digest(secret, b"kvproxy reader pseudonyms", "sha256")
        # Deterministic authenticated encryption: an id needs no table, tells nobody its request, and cannot be forged.
        self._ids = AESSIV(hmac.digest(secret, b"kvproxy receipt ids", "sha512"))

    def reader(self, reader: str, publisher: str) -> str:
        """Return the reader's name for this publisher: the same for each of its reads, another for each publisher.

        Names of tenants hold no line end, so that no two pairs are one text.
        """
        digest = hmac.digest(self._readers, f"{publisher}\n{reader}".encode(), "sha256")
        return "reader_" + _text(digest[:16])

    def receipt(self, request_id: str, index: int) -> str:
        """Return a receipt's id, from which only :meth:`read_of` returns to its request."""
        return _PREFIX + _text(self._ids.encrypt(f"{index}\n{request_id}".encode(), None))

    def read_of(self, receipt_id: str) -> ReceiptName | None:
        """Return the read of a receipt's id; None for an id that this host never gave."""
        body = receipt_id.removeprefix(_PREFIX)
        if body == receipt_id or len(receipt_id) > _MOST_ID:
            return None
        try:
            sealed = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            index, _, request_id = self._ids.decrypt(sealed, None).decode().partition("\n")
        except (InvalidTag, ValueError):
            return None
        # One spelling for one id: base64 has several for the same bytes.
        return (
            ReceiptName(request_id, int(index))
            if self.receipt(request_id, int(index)) == receipt_id
            else None
        )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
