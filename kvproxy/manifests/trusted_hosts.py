"""`TrustedHosts`: the hosts whose manifests are believed, and the keys that each of them signs with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvproxy.errors import SetupError, SignatureRefused, Unavailable
from kvproxy.manifests.manifest import MANIFEST_TYP, Manifest
from kvproxy.manifests.manifest_claims import parse_manifest
from kvproxy.receipts.canonical_jws import unverified_claims, verify_claims

MOST_MANIFEST = 16 * 2**20
"""The largest manifest that is read, in characters."""

MOST_JWKS = 2**20
"""The largest JWKS that is read, in bytes."""

FETCH_S = 10.0
"""Seconds for which a JWKS may take to come."""

Jwks = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrustedHost:
    """A host whose manifests are believed."""

    name: str
    """The name that it signs as: ``host.name`` of its configuration."""
    jwks: Path | str
    """Its JWKS: a file, or a URL that is fetched when a manifest of this host comes."""


class TrustedHosts:
    """Verifies manifests by the keys of the host that they say they are of. Blocking.

    A key speaks for its own host alone: a manifest of another host that it has signed is refused.

    Example:
        ``manifest = hosts.verify(jws)``
    """

    def __init__(self, own: str, own_keys: Callable[[], Jwks], hosts: Sequence[TrustedHost] = ()) -> None:
        """``own``: this host's name, which is believed by ``own_keys``. Nothing is read yet."""
        self._own, self._own_keys, self._hosts = own, own_keys, tuple(hosts)

    def verify(self, jws: str, given: Jwks | None = None) -> Manifest:
        """Return the manifest of a compact JWS. ``given``: keys that an operator believes for this one manifest,
        whatever its host.

        Raises SignatureRefused, which says why; Unavailable where the host's JWKS cannot be fetched.
        """
        if len(jws) > MOST_MANIFEST:
            raise SignatureRefused(
                f"This manifest has more than {MOST_MANIFEST} characters; no host signs one."
            )
        # Only which keys are asked for follows from this; nothing else is decided by it.
        named = unverified_claims(jws).get("iss")
        refusal: SignatureRefused | None = None
        for jwks in self._keys_of(named, given):
            try:
                claims = verify_claims(jws, MANIFEST_TYP, jwks).claims
            except SignatureRefused as e:
                refusal = refusal or e
                continue
            manifest = parse_manifest(claims)
            if manifest.host != named:
                raise SignatureRefused("This manifest names two hosts.")
            return manifest
        raise refusal or SignatureRefused(
            f"This manifest is of the host '{str(named)[:64]}', which is not trusted here; an operator adds it to "
            "documents.trusted_hosts, or gives its JWKS with --jwks. Its text alone can be published by anybody."
        )

    def _keys_of(self, name: object, given: Jwks | None) -> Iterator[Jwks]:
        if given is not None:
            yield given
        if name == self._own:
            yield self._own_keys()
        for host in self._hosts:
            if host.name == name:
                yield read_jwks(host.jwks)


def read_jwks(source: Path | str) -> Jwks:
    """Read a JWKS from a file or a URL; a host's own description, which holds one, is taken as well. Blocking.

    Raises Unavailable where it cannot be read, SignatureRefused where it is none.

    Example:
        ``read_jwks("https://kv.example/.well-known/kvproxy.json")``
    """
    text = _fetched(source) if isinstance(source, str) else _read(source)
    try:
        return jwks_in(json.loads(text))
    except (ValueError, RecursionError):
        raise SignatureRefused(f"{source} holds no keys: name a JWKS, or a host's description.") from None


def jwks_in(told: object) -> Jwks:
    """Return the JWKS in a parsed JSON value. Raises ValueError where there is none."""
    keys = told.get("jwks", told) if isinstance(told, dict) else None
    if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
        raise ValueError("no keys")
    return keys


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_JWKS)
    except OSError as e:
        raise Unavailable(f"the JWKS {file} cannot be read: {e.strerror}", retry_after_s=60) from e


def _fetched(url: str) -> bytes:
    """Fetch what an operator has named, following no redirects and reading at most MOST_JWKS."""
    import httpx

    try:
        with httpx.stream("GET", url, timeout=FETCH_S, follow_redirects=False) as response:
            response.raise_for_status()
            body = b""
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MOST_JWKS:
                    raise SignatureRefused(f"The JWKS at {url} has more than {MOST_JWKS} bytes.")
            return body
    except httpx.HTTPError as e:
        raise Unavailable(f"the JWKS at {url} cannot be fetched: {e}", retry_after_s=60) from e


def trusted_host(name: str, jwks: str, folder: Path) -> TrustedHost:
    """Return a host as the configuration names it: ``jwks`` is a URL, or a file, relative to ``folder``.

    Raises SetupError for a URL of another scheme.

    Example:
        ``trusted_host("kv.example", "keys/kv.example.json", Path("/etc/kvproxy"))``
    """
    if jwks.startswith(("https://", "http://")):
        return TrustedHost(name, jwks)
    if "://" in jwks:
        raise SetupError(f"the JWKS of the trusted host '{name}' is neither a file nor a URL of http: {jwks}")
    return TrustedHost(name, folder / jwks)
