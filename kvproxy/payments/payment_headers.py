"""Headers of both payment dialects, and ids of payments."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kvproxy.errors import PaymentRequired
from kvproxy.payments.payment_demand import MethodOffer

CREDENTIAL_HEADER = "payment-authorization"
"""MPP's credential. ``Authorization`` holds the API key."""
SIGNATURE_HEADER = "payment-signature"
"""x402's credential."""
_MOST_BYTES = 2**15


def payment_id(network: str, asset: str, payer: str, nonce: str) -> str:
    """Return the id of the payment that spends a nonce: the same for every way in which its credential may be sent.

    Example:
        ``payment_id("eip155:84532", asset.address, authorization["from"], authorization["nonce"])``
    """
    spent = "|".join((network, asset.lower(), payer.lower(), nonce.lower()))
    return "pay_" + hashlib.sha256(spent.encode()).hexdigest()[:32]


def one_header(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header's value without regard to the case of its name. Raises PaymentRequired for one too long."""
    for key, value in headers.items():
        if key.lower() == name:
            if len(value) > _MOST_BYTES:
                raise PaymentRequired(
                    f"The header {name} is longer than {_MOST_BYTES} characters; ask for a challenge"
                )
            return value
    return None


def json_header(value: str, name: str) -> Mapping[str, Any]:
    """Decode a header of base64 JSON. Raises PaymentRequired."""
    try:
        decoded = json.loads(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        raise PaymentRequired(
            f"The header {name} is no base64 of a JSON object; ask for a challenge and sign it"
        )
    return decoded


def header_json(value: Mapping[str, Any]) -> str:
    """Encode a header of base64 JSON."""
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def payment_required(offers: Sequence[MethodOffer], url: str, error: str) -> Mapping[str, Any] | None:
    """Return x402's object of a 402; None where no method speaks x402.

    Example:
        ``payment_required([await method.quote(demand)], demand.url, "PAYMENT-SIGNATURE header is required")``
    """
    accepts = [dict(accepted) for offer in offers for accepted in offer.accepts]
    if not accepts:
        return None
    extensions = {name: value for offer in offers for name, value in offer.extensions.items()}
    value = {"x402Version": 2, "error": error, "resource": {"url": url}, "accepts": accepts}
    return {**value, "extensions": extensions} if extensions else value


def offer_headers(offers: Sequence[MethodOffer], url: str, error: str) -> dict[str, str]:
    """Return the headers of a 402 in both dialects; none where there is no method.

    The challenges stand in one ``WWW-Authenticate``, separated by commas as RFC 9110 allows.
    Example: ``offer_headers([await method.quote(demand)], demand.url, "PAYMENT-SIGNATURE header is required")``.
    """
    headers: dict[str, str] = {}
    challenges = [challenge for offer in offers for challenge in offer.challenges]
    if challenges:
        headers["WWW-Authenticate"] = ", ".join(challenges)
    x402 = payment_required(offers, url, error)
    if x402 is not None:
        headers["PAYMENT-REQUIRED"] = header_json(x402)
    if headers:
        headers["Cache-Control"] = "no-store"
    return headers
