"""The form of a signed permit; the signature itself is the facilitator's to check."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.errors import PaymentRequired
from kvproxy.payments.upto_wire import UptoPayload, signed_permit

PERMIT: dict[str, Any] = {
    "from": "0x" + "1" * 40,
    "permitted": {"token": "0x" + "2" * 40, "amount": "500"},
    "nonce": "77",
    "deadline": "1900000000",
}
SIGNATURE = "0x" + "1" * 130


def test_a_permit_is_read_and_nothing_else_is_kept() -> None:
    signed = signed_permit({"permit2Authorization": PERMIT, "signature": SIGNATURE, "more": "x" * 1000})
    assert (signed.payer, signed.nonce, signed.units, signed.deadline) == (
        PERMIT["from"],
        "77",
        500,
        1900000000,
    )
    assert signed.body == {"permit2Authorization": PERMIT, "signature": SIGNATURE}
    parsed = UptoPayload.model_validate({"permit2Authorization": PERMIT, "signature": SIGNATURE})
    assert signed_permit(parsed) == signed


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "text",
        {},
        {"permit2Authorization": PERMIT},
        {"permit2Authorization": {**PERMIT, "nonce": "-1"}, "signature": SIGNATURE},
        {"permit2Authorization": {**PERMIT, "nonce": "1" * 79}, "signature": SIGNATURE},
        {"permit2Authorization": {**PERMIT, "deadline": "soon"}, "signature": SIGNATURE},
        {"permit2Authorization": {**PERMIT, "permitted": []}, "signature": SIGNATURE},
        {"permit2Authorization": {**PERMIT, "from": "alice"}, "signature": SIGNATURE},
    ],
)
def test_another_form_is_refused(payload: object) -> None:
    with pytest.raises(PaymentRequired, match="no Permit2 authorisation"):
        signed_permit(payload)
