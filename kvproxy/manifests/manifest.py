"""`Manifest`: the statement of a host on one version of a document: its text, tokens, pages, engine and terms.

No float is in it: canonical JSON has one text for a whole number, and numbers of measurements are decimal text.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kvproxy.core import Visibility

FORMAT = "kvproxy-manifest/1"
"""The format's name and version. A manifest of another one is refused."""

MANIFEST_TYP = "kvproxy-manifest+jws"
"""The ``typ`` of a manifest's header: no receipt and no quote is a manifest, although one key signs all."""


@dataclass(frozen=True, slots=True)
class ManifestDocument:
    """The version that a manifest is of."""

    id: str
    version: int
    etag: str
    """sha256 of the text's UTF-8 bytes, 64 hex digits."""
    bytes: int
    """UTF-8 bytes of the text."""
    characters: int
    tokens: int
    """Tokens of the text alone."""
    created: int
    """Unix seconds."""
    publisher: str
    """The tenant that published it; empty where the host has none of its scope."""
    origin: str
    """``published``, ``learned`` or ``imported``."""


@dataclass(frozen=True, slots=True)
class ManifestPolicy:
    """The readers of a version and the price that they pay, as its publisher has set them."""

    visibility: Visibility
    terms: Mapping[str, str | int] | None
    """The terms by name, as ``DocumentTerms.as_json`` writes them, with their ``id`` and ``currency``; None where the
    host sells nothing."""
    licence: str
    """The publisher's words on what readers may do with answers; empty where there are none."""


@dataclass(frozen=True, slots=True)
class ManifestEngine:
    """The engine that computed the pages: all that their bits depend on."""

    model: str
    """The model's served name at this host; another host may have another name for it."""
    fingerprint: str
    identity: Mapping[str, str]
    """The parts of the fingerprint by name. ``fingerprint`` is a digest of them."""


@dataclass(frozen=True, slots=True)
class ManifestPage:
    """One page of KV."""

    key: str
    """The page key, 64 hex digits: a chain over the engine's fingerprint and all token ids up to its end."""
    tokens: int
    digest: str | None
    """BLAKE3 of the page's stored frames, 64 hex digits; None where the page was not on disk when this was signed."""
    bytes: int
    """Bytes of its stored frames."""
    codec: str
    """The codec of its frames; empty for plain ones."""


@dataclass(frozen=True, slots=True)
class ManifestFraming:
    """The pages of one framing, in one spelling."""

    name: str
    tokens: int
    token_ids_sha256: str
    """sha256 of the token ids as uint32, little endian, 64 hex digits."""
    prefill_ms: int
    pages: tuple[ManifestPage, ...]


@dataclass(frozen=True, slots=True)
class ManifestVerified:
    """The result of the last `verify` of these pages: hits beside prefills from scratch, over all framings."""

    at: int
    """Unix seconds."""
    exact: bool
    framings: int
    """Comparisons made: framings, and spellings with pages of their own."""
    pages: int
    equal_pages: int
    positions: int
    equal_positions: int
    largest_difference: str
    """Of any logit at any position, decimal text; ``0`` where all are equal, and empty where it is no number."""


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """The version at another host that an imported one was taken from."""

    host: str
    id: str
    version: int
    manifest_sha256: str
    """sha256 of that manifest's compact JWS, 64 hex digits."""
    pages: int
    """Pages that were taken from its file; 0 where the text alone was."""
    checked: int
    """Pages of them that were computed again, and had the same bits."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One statement of a host. ``manifest_claims`` turns it into signed JSON and back.

    Example:
        ``manifest.framings[0].pages[-1].digest``
    """

    host: str
    """The host's name: the issuer."""
    signed_at: int
    """Unix seconds."""
    document: ManifestDocument
    policy: ManifestPolicy
    engine: ManifestEngine
    page_tokens: int
    framings: tuple[ManifestFraming, ...]
    verified: ManifestVerified | None = None
    source: ManifestSource | None = None

    @property
    def digests(self) -> Mapping[str, str]:
        """The digests of the pages that have one, by page key: what ``verified`` was measured on."""
        return {p.key: p.digest for f in self.framings for p in f.pages if p.digest is not None}


def token_ids_sha256(token_ids: Iterable[int]) -> str:
    """Return the digest of token ids as a manifest has it. 64 hex digits."""
    return hashlib.sha256(array("I", token_ids).tobytes()).hexdigest()


def manifest_sha256(jws: str) -> str:
    """Return the digest by which an imported version names the manifest that it came with. 64 hex digits."""
    return hashlib.sha256(jws.encode("ascii")).hexdigest()


def changed_identity(theirs: Mapping[str, str], ours: Mapping[str, str]) -> Sequence[str]:
    """Return the names of the parts of the fingerprint that differ, in the order of the names.

    Example:
        ``changed_identity(manifest.engine.identity, model.identity)``
    """
    return [name for name in sorted(theirs.keys() | ours.keys()) if theirs.get(name) != ours.get(name)]
