"""`ReplicaHashes`: hashes of blocks as a replica computes them, apart from kvproxy's own computation of the same."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import cbor2

from kvproxy.fake_replica.replica_options import ReplicaOptions

_LOW = 2**64 - 1


@dataclass(frozen=True, slots=True)
class ReplicaHashes:
    """The hash of a block from its parent's, its tokens, and the salt on the first block.

    Computed here a second time, so that a fault of the proxy's hashes is no fault of the fake's too.
    """

    options: ReplicaOptions

    @property
    def root(self) -> bytes:
        """The parent of the first block: a fixed text's hash, or that of PYTHONHASHSEED."""
        seed = self.options.hash_seed if self.options.hash_seed is not None else "vllm-none-hash"
        return hashlib.sha256(cbor2.dumps(seed, canonical=True)).digest()

    def after(self, parent: bytes, token_ids: Sequence[int], salt: str | None) -> bytes:
        """Return the hash of a block. ``salt``: only for a prompt's first block.

        Example: ``hashes.after(hashes.root, range(16), None)``
        """
        if self.options.event_form == "sglang":
            return self._paged(parent, token_ids, salt)
        extra = (("cache_salt", salt),) if salt else None
        block = cbor2.dumps((parent, tuple(token_ids), extra), canonical=True)
        if self.options.hash_algorithm == "sha256":
            block += b"pickled"  # any bytes that cbor2 does not write: these hashes match nobody's
        return hashlib.sha256(block).digest()

    def told(self, block: bytes) -> int:
        """Return the hash that events carry: the low 64 bits in vLLM, the high ones, signed, in SGLang."""
        if self.options.event_form == "sglang":
            return int.from_bytes(block[:8], "big", signed=True)
        return int.from_bytes(block, "big") & _LOW

    def _paged(self, parent: bytes, token_ids: Sequence[int], salt: str | None) -> bytes:
        words = array("I", token_ids).tobytes()
        start = salt.encode() if salt else b"" if parent == self.root else parent
        return hashlib.sha256(start + words).digest()
