"""`KeyHash`: keyed hashes of API keys, under a secret that lies in the store's folder and never in the database."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import string
from dataclasses import dataclass, field
from pathlib import Path

from kvproxy.errors import SetupError

SECRET_NAME = "keys.secret"
"""The secret's file in the store's folder."""

PREFIX = "kvp_"
"""The beginning of every key, by which scanners for leaked secrets find one."""

_ALPHABET = string.ascii_letters + string.digits
_RANDOM = 32
_HINT = 4


@dataclass(frozen=True, slots=True)
class KeyHash:
    """HMAC-SHA256 under one secret.

    A digest is looked up in a dictionary: without the secret nobody can choose digests that are alike, so the time
    of a look-up tells nothing of a key.
    """

    secret: bytes = field(repr=False)

    def digest(self, key: str) -> bytes:
        """Return the digest of a key as a client sent it."""
        return hmac.digest(self.secret, key.encode("utf-8", "surrogateescape"), "sha256")

    @property
    def mark(self) -> str:
        """A name of the secret that tells nothing of it: digests with another mark cannot be found with this one."""
        return hashlib.sha256(b"kvproxy keys.secret" + self.secret).hexdigest()[:16]


def new_key_text() -> str:
    """Return a new API key: 190 bits from the system."""
    return PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))


def hint_of(key: str) -> str:
    """Return the end of a key, for people."""
    return f"…{key[-_HINT:]}"


def open_secret(folder: Path) -> bytes:
    """Read the secret of a store's folder, and make one first where there is none. Raises SetupError.

    Of several processes that start together one makes it, and all read the same. Blocking.
    """
    path = folder / SECRET_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        secret = path.read_bytes()
    except OSError as e:
        raise SetupError(f"cannot use {path}: {e.strerror}") from e
    if mode & 0o077:
        raise SetupError(f"{path} can be read by others (mode {mode:o}); do: chmod 600 {path}")
    if len(secret) < 32:
        raise SetupError(
            f"{path} is damaged: it must hold 32 bytes. Restore it from a copy; without it every API key in the "
            "database has to be made again"
        )
    return secret


def _make(path: Path) -> None:
    """Write a whole secret under a name of its own, then link it: no process reads half of one."""
    own = path.with_name(f"{SECRET_NAME}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(own, path)
        except FileExistsError:
            pass  # another process was first, and its secret counts
    finally:
        own.unlink(missing_ok=True)
