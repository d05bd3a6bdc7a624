"""`HostKeys`: the host's Ed25519 keys, one private file each; the newest valid one signs, all verify."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from kvproxy.errors import SetupError
from kvproxy.receipts.canonical_jws import ALGORITHM, sign_claims, verify_claims

FOLDER = "host-keys"
"""The folder of the keys, in the store's folder."""

ROTATION_DELAY_MS = 60_000
"""A new key signs only after this time: running proxies have read it by then, so that all sign with the same key and a
receipt that is made again is the same to the byte."""

_SECRET = "pseudonyms.secret"
_SUFFIX = ".jwk"


@dataclass(frozen=True, slots=True)
class HostKey:
    """One key of the host. Its private part is in no text that this value can become."""

    id: str
    """Its RFC 7638 thumbprint."""
    from_ms: int
    """It signs what is dated from then on, until the next key does."""
    public: Mapping[str, str]
    """The public JWK."""


class HostKeys:
    """The keys of one store's folder, in memory; :meth:`refresh` reads those that another process has added.

    Example:
        ``keys = HostKeys.open(folder); keys.verify(keys.sign({"tokens": 3774}, RECEIPT_TYP), RECEIPT_TYP)``
    """

    def __init__(self, folder: Path) -> None:
        """Use :meth:`open`, which makes the first key."""
        self._folder = folder
        self._keys: tuple[tuple[HostKey, OKPKey], ...] = ()
        self._jwks: dict[str, Any] = {"keys": []}
        self.pseudonym_secret = b""
        """The secret of :class:`~kvproxy.receipts.reader_pseudonyms.ReaderPseudonyms`. It is never rotated."""

    @classmethod
    def open(cls, store_folder: Path) -> HostKeys:
        """Read the keys, and make the first at the first start. Blocking. Raises SetupError."""
        keys = cls(store_folder / FOLDER)
        try:
            keys._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(keys._folder):
                keys.refresh()
                if not keys._keys:
                    keys._add(from_ms=0)
                secret = keys._folder / _SECRET
                if not secret.exists():
                    _write_private(secret, secrets.token_bytes(32))
            keys.pseudonym_secret = _read_private(secret)
        except OSError as e:
            raise SetupError(f"the host's keys in {keys._folder} cannot be used: {e.strerror}") from e
        keys.refresh()
        return keys

    def refresh(self) -> None:
        """Read the keys again, so that a rotation by another process counts. Blocking. Raises SetupError."""
        read = sorted(
            (_read_key(p) for p in self._folder.glob(f"*{_SUFFIX}")), key=lambda pair: pair[0].from_ms
        )
        self._keys = tuple(read)
        self._jwks = {"keys": [dict(key.public) for key, _ in reversed(read)]}

    def rotate(self, now_ms: int | None = None) -> HostKey:
        """Add a key that signs from a minute on; the old ones go on verifying. Blocking. Raises SetupError.

        The old private parts are kept: a receipt of their time is made again with the key of its time.
        """
        try:
            with _locked(self._folder):
                self.refresh()
                now = int(time.time() * 1000) if now_ms is None else now_ms
                latest = max((key.from_ms for key, _ in self._keys), default=0)
                return self._add(from_ms=max(now, latest) + ROTATION_DELAY_MS)
        except OSError as e:
            raise SetupError(f"no key can be added in {self._folder}: {e.strerror}") from e

    @property
    def keys(self) -> tuple[HostKey, ...]:
        """All keys, oldest first."""
        return tuple(key for key, _ in self._keys)

    def key_at(self, ms: int) -> HostKey:
        """Return the key that signs what is dated ``ms``."""
        return self._at(ms)[0]

    def sign(self, claims: Mapping[str, Any], typ: str, *, at_ms: int | None = None) -> str:
        """Sign claims as a compact JWS, with the key of ``at_ms`` (now for None). Some 0.1 ms, no I/O.

        Example:
            ``keys.sign(receipt_claims(booked, 0, host="kv.example", names=names), RECEIPT_TYP, at_ms=booked.at_ms)``
        """
        return sign_claims(claims, typ, self._at(int(time.time() * 1000) if at_ms is None else at_ms)[1])

    def sign_bytes(self, message: bytes) -> tuple[HostKey, bytes]:
        """Return the newest valid key and its bare signature of a message, for formats that are no JWS."""
        key, private = self._at(int(time.time() * 1000))
        operation: Any = private.get_op_key("sign")
        return key, bytes(operation.sign(message))

    def verify(self, jws: str, typ: str) -> dict[str, Any]:
        """Return the claims of a JWS that any key of this host signed. Raises SignatureRefused."""
        return verify_claims(jws, typ, self._jwks).claims

    def jwks(self) -> dict[str, Any]:
        """Return the public keys as a JWKS (RFC 7517), the newest first, the old ones included."""
        return self._jwks

    def _at(self, ms: int) -> tuple[HostKey, OKPKey]:
        valid = [pair for pair in self._keys if pair[0].from_ms <= ms]
        return valid[-1] if valid else self._keys[0]

    def _add(self, *, from_ms: int) -> HostKey:
        key = OKPKey.generate_key(ALGORITHM, auto_kid=True)
        content = json.dumps({**key.as_dict(private=True), "kvproxy_from_ms": from_ms})
        _write_private(self._folder / f"{key.kid}{_SUFFIX}", content.encode())
        self.refresh()
        return next(known for known in self.keys if known.id == key.kid)

    def __repr__(self) -> str:
        return f"HostKeys({str(self._folder)!r}, {len(self._keys)} keys)"


def _read_key(path: Path) -> tuple[HostKey, OKPKey]:
    """Read one file. No message quotes it: it holds a private key."""
    try:
        data = json.loads(_read_private(path))
        from_ms = int(data.pop("kvproxy_from_ms"))
        key = OKPKey.import_key(data)
        if key.curve_name != ALGORITHM or not key.is_private:
            raise ValueError
        public = {name: str(data[name]) for name in ("kty", "crv", "x", "kid")}
    except OSError as e:
        raise SetupError(f"the host's key {path} cannot be read: {e.strerror}") from None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise SetupError(
            f"{path} is no Ed25519 key of kvproxy; restore it from a backup, or remove it"
        ) from None
    return HostKey(key.thumbprint(), from_ms, {**public, "alg": ALGORITHM, "use": "sig"}), key


def _read_private(path: Path) -> bytes:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SetupError(f"{path} may be read by others (mode {mode:04o}); run: chmod 600 {path}")
    return path.read_bytes()


def _write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from adding a key meanwhile. The kernel unlocks it however the process ends."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
