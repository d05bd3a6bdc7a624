from __future__ import annotations

import base64
import json

import pytest
from joserfc.jwk import OKPKey

from kvproxy.errors import SignatureRefused
from kvproxy.receipts.canonical_jws import canonical, sign_claims, unverified_claims, verify_claims

KEY = OKPKey.generate_key("Ed25519", auto_kid=True)
JWKS = {"keys": [KEY.as_dict(private=False)]}


def test_one_value_has_one_text() -> None:
    assert (
        canonical({"b": 1, "a": "\u20ac"})
        == canonical({"a": "\u20ac", "b": 1})
        == '{"a":"\u20ac","b":1}'.encode()
    )
    assert sign_claims({"b": 1, "a": 2}, "t", KEY) == sign_claims({"a": 2, "b": 1}, "t", KEY)


def test_the_signed_bytes_come_with_the_claims() -> None:
    found = verify_claims(" " + sign_claims({"a": 1}, "t", KEY) + "\n", "t", JWKS)
    assert (found.claims, found.payload, found.key_id) == ({"a": 1}, b'{"a":1}', KEY.kid)


@pytest.mark.parametrize("payload", [b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1,"a":1}', b"[1]", b"x"])
def test_a_payload_that_is_not_canonical_is_refused_although_it_is_signed(payload: bytes) -> None:
    head = base64.urlsafe_b64encode(
        json.dumps({"alg": "Ed25519", "kid": KEY.kid, "typ": "t"}).encode()
    ).rstrip(b"=")
    body = base64.urlsafe_b64encode(payload).rstrip(b"=")
    operation = KEY.get_op_key("sign")
    signature = operation.sign(head + b"." + body)  # type: ignore[union-attr]  # a private key
    text = b".".join((head, body, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()
    with pytest.raises(SignatureRefused):
        verify_claims(text, "t", JWKS)


@pytest.mark.parametrize(
    "jwks", [{}, {"keys": []}, {"keys": "x"}, {"keys": [{"kid": KEY.kid, "crv": "P-256"}]}]
)
def test_without_the_key_nothing_is_believed(jwks: dict[str, object]) -> None:
    with pytest.raises(SignatureRefused, match="not among the host's keys"):
        verify_claims(sign_claims({"a": 1}, "t", KEY), "t", jwks)


def test_claims_are_readable_without_a_signature_to_name_what_is_wrong() -> None:
    text = sign_claims({"id": "rcpt_1"}, "t", KEY)
    assert unverified_claims(text[:-5] + "AAAAA") == {"id": "rcpt_1"}
    for wrong in ("", "x", "a.b.c", "a.W10.c"):
        assert unverified_claims(wrong) == {}
