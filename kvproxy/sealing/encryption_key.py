"""`parse_key`: an encryption key as the configuration has it, to its 32 bytes."""

from __future__ import annotations

import base64
import binascii

KEY_BYTES = 32


def parse_key(text: str) -> bytes:
    """Return the 32 bytes of a key in base64. Raises ValueError, which quotes nothing of it."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            "an encryption key is base64 text of 32 bytes; make one: openssl rand -base64 32"
        ) from None
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"an encryption key has {KEY_BYTES} bytes, this one has {len(key)}; make one: openssl rand -base64 32"
        )
    return key
