"""`BlockHashes`: vLLM's hashes of a prompt's blocks, ``sha256_cbor``, computed here to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_SEED = "vllm-none-hash"
"""vLLM's seed of the first block where its environment has no PYTHONHASHSEED."""

_LOW_64 = 2**64 - 1
_MOST_CODES = 1 << 20
"""Token ids whose CBOR is remembered, some 60 bytes each: more than any vocabulary has."""
_NO_EXTRA = b"\xf6"
"""CBOR's null: a block without extra keys."""


@dataclass(frozen=True, slots=True)
class HashedBlocks:
    """The hashes of the full blocks of one prompt, and what the next block's hash follows from."""

    hashes: tuple[int, ...]
    """64 bits each, one for each full block, the first block's first."""
    digest: bytes
    """All 32 bytes of the last block's hash; of the seed's where there is no block."""
    salt: str | None


class BlockHashes:
    """The hash chain of prompts for one block size and one seed. Immutable but for a memory of tokens' codes; safe on
    any thread. A long prompt belongs on a thread: see ``kvproxy bench residency`` for the time per 1,000 tokens.

    The chain is that of vLLM with ``--prefix-caching-hash-algo sha256_cbor``: sha256 over the canonical CBOR of
    ``(hash before, token ids, extra keys)``. The salt is an extra key of the first block alone; the chain carries it
    on. CBOR is written here rather than by ``cbor2``: as fast, and a fleet without events needs no library for it.

    Example: ``BlockHashes(16).chain(range(64), salt=None)`` gives four hashes.
    """

    def __init__(self, block_tokens: int, seed: str | None = None) -> None:
        """``block_tokens``: the replica's block size; ``seed``: its PYTHONHASHSEED, None where it has none."""
        if block_tokens < 1:
            raise ValueError(f"a block of {block_tokens} tokens has no hash; give at least 1")
        self.block_tokens = block_tokens
        self.seed = DEFAULT_SEED if seed is None else seed
        self.root = hashlib.sha256(_text(self.seed)).digest()

    def chain(self, token_ids: Sequence[int], salt: str | None = None) -> tuple[int, ...]:
        """Return the hashes of all full blocks, 64 bits each. ``token_ids``: any length, from position 0."""
        return self.hashed(token_ids, salt).hashes

    def hashed(self, token_ids: Sequence[int], salt: str | None = None) -> HashedBlocks:
        """Return the hashes of all full blocks, with what `continue_from` needs."""
        return self.continue_from(HashedBlocks((), self.root, salt or None), token_ids)

    def continue_from(self, before: HashedBlocks, token_ids: Sequence[int]) -> HashedBlocks:
        """Return ``before`` with the full blocks of ``token_ids``, which stand directly behind its blocks.

        Costs what the new tokens cost, whatever the length of ``before``.

        Example: ``continue_from(hashed(ids[:32]), ids[32:])`` equals ``hashed(ids)`` for blocks of 16.
        """
        salt = None if before.hashes else before.salt
        digests = self.digests(before.digest, token_ids, salt)
        hashes = before.hashes + tuple([int.from_bytes(digest[24:], "big") for digest in digests])
        return HashedBlocks(hashes, digests[-1] if digests else before.digest, before.salt)

    def digests(self, before: bytes, token_ids: Sequence[int], salt: str | None = None) -> list[bytes]:
        """Return all 32 bytes of the hash of each full block of ``token_ids``.

        ``before``: those of the block before them, or `root`; ``salt``: for `root` alone.

        Example: ``digests(hashes.root, ids, "c2FsdA")``
        """
        size, codes, sha256 = self.block_tokens, _CODES.__getitem__, hashlib.sha256
        opening, count, extra = b"\x83\x58\x20", _head(0x80, size), first_extra(salt)
        digest, digests = before, []
        for start in range(0, len(token_ids) - size + 1, size):
            tokens = b"".join(map(codes, token_ids[start : start + size]))
            digest = sha256(b"".join((opening, digest, count, tokens, extra))).digest()
            digests.append(digest)
            extra = _NO_EXTRA
        return digests


def first_extra(salt: str | None) -> bytes:
    """Return the CBOR of a first block's extra keys: the salt's, or none."""
    if not salt:
        return _NO_EXTRA
    return b"\x81\x82" + _text("cache_salt") + _text(salt)


def short_hash(value: int | bytes) -> int:
    """Return the 64 bits that this project knows a block by: the low ones of an engine's hash, big-endian.

    vLLM sends unsigned 64-bit integers or all 32 bytes; SGLang sends signed ones.
    """
    if isinstance(value, int):
        return value & _LOW_64
    return int.from_bytes(value[-8:], "big")


class _TokenCodes(dict[int, bytes]):
    """The CBOR of token ids, made when first asked for. One for all: a thousand replicas whose hashes are mapped would
    each remember a vocabulary."""

    def __missing__(self, token: int) -> bytes:
        code = _head(0, token)
        if len(self) < _MOST_CODES:
            self[token] = code
        return code


_CODES = _TokenCodes()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _head(0x60, len(encoded)) + encoded


def _head(major: int, value: int) -> bytes:
    """Return CBOR's shortest head: the major type in the top three bits, and a number or a length.

    Example: ``_head(0x80, 16)`` begins an array of 16.
    """
    if value < 24:
        return bytes((major | value,))
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes((major | code,)) + value.to_bytes(size, "big")
    raise ValueError(f"{value} is no token id: it has more than 64 bits")
