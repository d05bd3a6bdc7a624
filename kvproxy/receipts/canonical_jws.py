"""Compact JWS with canonical JSON (RFC 8785) and Ed25519 as RFC 9864 names it: made, and verified offline by a JWKS."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import rfc8785
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from kvproxy.errors import SignatureRefused

ALGORITHM: Final = "Ed25519"
"""The only algorithm: fully specified by RFC 9864, where ``EdDSA`` leaves the curve open."""

MOST_BYTES = 64 * 2**20
"""The largest JWS that is read: a statement of a million reads."""

_REGISTRY = jws.JWSRegistry(algorithms=[ALGORITHM])
_REGISTRY.max_payload_length = MOST_BYTES


@dataclass(frozen=True, slots=True)
class SignedClaims:
    """The claims of a JWS whose signature is sound."""

    claims: dict[str, Any]
    key_id: str
    payload: bytes
    """The signed bytes: canonical JSON of ``claims``."""


def canonical(claims: Mapping[str, Any]) -> bytes:
    """Return claims as canonical JSON: one text for one value, whoever writes it. No float may be near money."""
    return rfc8785.dumps(dict(claims))


def sign_claims(claims: Mapping[str, Any], typ: str, key: OKPKey) -> str:
    """Sign claims as a compact JWS. The same claims and key give the same text, so that it can be made again.

    Example:
        ``sign_claims({"tokens": 3774}, "kvproxy-receipt+jws", key)``
    """
    header = {"alg": ALGORITHM, "kid": str(key.kid), "typ": typ}
    return jws.serialize_compact(header, canonical(claims), key, registry=_REGISTRY)


def verify_claims(text: str, typ: str, jwks: Mapping[str, Any]) -> SignedClaims:
    """Verify a compact JWS by the keys of a JWKS. Raises SignatureRefused, which says why.

    ``typ`` must be the header's: a receipt is no quote, although one key signs both.

    Example:
        ``verify_claims(receipt, RECEIPT_TYP, json.loads(Path("jwks.json").read_text())).claims["price"]``
    """
    if len(text) > MOST_BYTES:
        raise SignatureRefused(f"It has more than {MOST_BYTES} characters; nothing that this host signs has.")
    try:
        # Only the header is decoded here: no claim is looked at before its signature is.
        found = jws.extract_compact(text.strip().encode("ascii"), registry=_REGISTRY)
        header = found.headers()
        if header.get("typ") != typ:
            raise SignatureRefused(
                f"It is of the type '{str(header.get('typ'))[:64]}', and not '{typ}'; give the right document."
            )
        key = _key(jwks, header.get("kid"))
        if not jws.validate_compact(found, key, registry=_REGISTRY):
            raise SignatureRefused("Its signature is not the host's, or it was changed after it was signed.")
        claims = json.loads(found.payload)
    except (JoseError, ValueError, RecursionError, UnicodeError) as e:
        raise SignatureRefused(
            "It is no compact JWS with alg Ed25519; copy it whole, without line ends."
        ) from e
    if not isinstance(claims, dict) or canonical(claims) != found.payload:
        raise SignatureRefused("Its payload is not canonical JSON, as all that a host signs is.")
    return SignedClaims(claims, str(key.kid), found.payload)


def _key(jwks: Mapping[str, Any], wanted: object) -> OKPKey:
    keys = jwks.get("keys")
    for entry in keys if isinstance(keys, list) else ():
        if isinstance(entry, dict) and entry.get("kid") == wanted and entry.get("crv") == ALGORITHM:
            return OKPKey.import_key(
                {name: entry[name] for name in ("kty", "crv", "x", "kid") if name in entry}
            )
    raise SignatureRefused(
        f"The key '{str(wanted)[:64]}' that signed it is not among the host's keys; fetch its JWKS again."
    )


def unverified_claims(text: str) -> dict[str, Any]:
    """Return the claims of a JWS without a look at its signature, to name what is wrong with it; empty where it has
    none. Nothing may be decided by them."""
    try:
        payload = text.strip().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
