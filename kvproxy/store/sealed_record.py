"""A stored record under a digest: pure, no I/O.

::

    offset  bytes  field
    0       4      mark
    4       32     sha256 of the key's length, the key and the record
    36      ...    the record

The key is under it too: a record under a changed key belongs to no caller.
"""

from __future__ import annotations

import hashlib

_MARK = b"\x00KV1"
_START = len(_MARK) + 32


def seal(key: str, record: bytes) -> bytes:
    """Return the record with the mark and digest in front."""
    return _MARK + _digest(key, record) + record


def is_sealed(value: object) -> bool:
    """Return whether the value has the mark; records of before there were seals are JSON."""
    return isinstance(value, bytes) and value.startswith(_MARK)


def unseal(key: str, value: object) -> bytes | None:
    """Return the record that was sealed under ``key``; None for anything else."""
    if not isinstance(value, bytes) or not value.startswith(_MARK):
        return None
    record = value[_START:]
    return record if value[len(_MARK) : _START] == _digest(key, record) else None


def _digest(key: str, record: bytes) -> bytes:
    name = key.encode("utf-8", "surrogatepass")
    return hashlib.sha256(b"%d:" % len(name) + name + record).digest()
