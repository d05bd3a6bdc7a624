"""`PageCipher`: AES-256-GCM over the frames of a page, each bound to its page and its place in it.

A sealed frame is ``key id (8) | nonce (12) | ciphertext | tag (16)``. The additional data are the page key and the
frame's index, so that a frame is refused in the place of another one, of the same page too. Nonces are random: a key is
good for 2**32 frames (NIST SP 800-38D), some 60 million pages of a model with 36 layers; then it is time for a new one.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kvproxy.core.page_seal import SealBroken
from kvproxy.sealing.encryption_key import KEY_BYTES

OVERHEAD = 8 + 12 + 16
"""Bytes that a sealed frame has beyond its plain ones."""

_ID, _NONCE = 8, 12


class PageCipher:
    """Seals and opens frames. Any thread; a call of some 10 us and more releases the GIL.

    Example:
        ``cipher = PageCipher([parse_key(text)]); frame = cipher.seal(page_key, 0, payload)``
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """``keys``: 32 bytes each; the first one seals, every one opens. Raises ValueError for none, or other sizes."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"an encryption key has {KEY_BYTES} bytes")
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._id = _key_id(keys[0])
        self._first = self._ciphers[self._id]

    @classmethod
    def of_this_process(cls) -> PageCipher:
        """Return a cipher with a random key that is never written: what it seals ends with the process."""
        return cls([os.urandom(KEY_BYTES)])

    @property
    def key_id(self) -> str:
        """The id of the key that seals, hex: a digest of it that says nothing about it."""
        return self._id.hex()

    def seal(self, key: bytes, index: int, frame: bytes | memoryview) -> bytes:
        """Return the sealed frame of page ``key`` at ``index``.

        Example: ``sealed = cipher.seal(page_key, 0, frame)``
        """
        nonce = os.urandom(_NONCE)
        return self._id + nonce + self._first.encrypt(nonce, frame, _bound(key, index))

    def open(self, key: bytes, index: int, frame: bytes | memoryview) -> bytes:
        """Return the plain frame. Raises SealBroken.

        Example: ``plain = cipher.open(page_key, 0, sealed)``
        """
        if len(frame) < OVERHEAD:
            raise SealBroken(f"a sealed frame of {len(frame)} bytes is none")
        cipher = self._ciphers.get(id := bytes(frame[:_ID]))
        if cipher is None:
            raise SealBroken(f"it is encrypted with another key ({id.hex()})")
        try:
            return cipher.decrypt(bytes(frame[_ID : _ID + _NONCE]), frame[_ID + _NONCE :], _bound(key, index))
        except InvalidTag:
            raise SealBroken(
                "its seal is broken: other bytes than were encrypted, or another place"
            ) from None


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"kvproxy page encryption key\n" + key).digest()[:_ID]


def _bound(key: bytes, index: int) -> bytes:
    return key + struct.pack("<I", index)
