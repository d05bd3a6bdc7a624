"""Signed notes and checkpoints as transparency logs write them (C2SP ``signed-note`` and ``tlog-checkpoint``)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kvproxy.errors import SignatureRefused

_ED25519 = b"\x01"
_DASH = "\u2014 "
_MOST_CHARACTERS = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The size and the root of a log's Merkle tree."""

    origin: str
    """The log's name: the host's."""
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def public_bytes(jwk: Mapping[str, Any]) -> bytes:
    """Return the 32 bytes of a public Ed25519 JWK."""
    return base64.urlsafe_b64decode(str(jwk["x"]) + "=")


def key_hash(name: str, public: bytes) -> bytes:
    """Return the 4 bytes by which a note's line names its key."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def verifier_key(name: str, public: bytes) -> str:
    """Return the key as tools of transparency logs take it: ``name+hash+key``."""
    return f"{name}+{key_hash(name, public).hex()}+{base64.b64encode(_ED25519 + public).decode()}"


def signed_checkpoint(checkpoint: Checkpoint, sign: Callable[[bytes], tuple[bytes, bytes]]) -> str:
    """Return a checkpoint as a signed note. ``sign`` returns the public key and the signature of a message.

    Example:
        ``signed_checkpoint(Checkpoint("kv.example", 3, root), sign).splitlines()[1]`` is the size.
    """
    public, signature = sign(checkpoint.text.encode())
    line = base64.b64encode(key_hash(checkpoint.origin, public) + signature).decode()
    return f"{checkpoint.text}\n{_DASH}{checkpoint.origin} {line}\n"


def verify_checkpoint(note: str, jwks: Mapping[str, Any]) -> Checkpoint:
    """Return the checkpoint of a note that one of the host's keys signed. Raises SignatureRefused."""
    text, _, lines = note[:_MOST_CHARACTERS].rpartition("\n\n")
    checkpoint = _parsed(text + "\n")
    for line in lines.splitlines():
        name, _, encoded = line.removeprefix(_DASH).rpartition(" ")
        if not line.startswith(_DASH) or name != checkpoint.origin:
            continue  # another witness's signature
        try:
            sealed = base64.b64decode(encoded, validate=True)
        except ValueError:
            continue
        for jwk in jwks.get("keys", ()):
            public = public_bytes(jwk)
            if sealed[:4] == key_hash(name, public) and _holds(public, sealed[4:], checkpoint.text.encode()):
                return checkpoint
    raise SignatureRefused(
        "None of the host's keys signed this checkpoint, or it was changed; fetch it again."
    )


def _parsed(text: str) -> Checkpoint:
    try:
        origin, size, root = text.rstrip("\n").split("\n")
        checkpoint = Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except ValueError as e:
        raise SignatureRefused("It is no checkpoint: three lines of text, an empty one, a signature.") from e
    if checkpoint.text != text or len(checkpoint.root) != 32:
        raise SignatureRefused("It is no checkpoint: its lines are not written as a log writes them.")
    return checkpoint


def _holds(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
