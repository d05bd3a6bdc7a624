"""One exchange through pympp's server: which credential is meant, and how its errors become ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from mpp import Credential, Receipt
from mpp.errors import CredentialReplayedError, InternalPaymentError, VerificationFailedError
from mpp.methods import Method
from mpp.server.method import ServerMethod, VerifyContext
from mpp.server.mpp import Mpp
from pydantic import BaseModel

from kvproxy.errors import AlreadyUsed, KVProxyError, PaymentRequired, Unavailable
from kvproxy.payments.mpp_exchange import MppExchange, named_credential
from kvproxy.payments.payment_demand import PaymentDemand
from tests.payments.paying import URL, challenges

DEMAND = PaymentDemand("alice", 1, "USD", URL, "One read")


class Amount(BaseModel):
    amount: str


class Word(BaseModel):
    word: str


def exchange(failure: Exception | None = None) -> MppExchange:
    async def verify(context: VerifyContext) -> Receipt:
        if failure is not None:
            raise failure
        return Receipt(status="success", timestamp=datetime.now(UTC), reference="checked", method="tab")

    definition: Any = Method(name="tab", intent="charge", request_model=Amount, payload_model=Word)
    server = Mpp(
        methods=ServerMethod(method=definition, verify=verify),
        realm="kvproxy",
        secret_key="s" * 32,
        requires_auth=True,
    )
    return MppExchange(server, "tab/charge", {"amount": "5"})


async def signed(made: MppExchange, payload: dict[str, Any]) -> dict[str, str]:
    offer = await made.offered(DEMAND)
    challenge = challenges({"WWW-Authenticate": ", ".join(offer.challenges)})["tab/charge"]
    assert challenge.description == "One read" and offer.accepts == ()
    return {"Payment-Authorization": Credential(challenge.to_echo(), payload).to_authorization()}


async def test_a_credential_and_its_receipt() -> None:
    made = exchange()
    checked = await made.checked(await signed(made, {"word": "yes"}), DEMAND)
    headers = checked.headers("0xabc")
    assert set(headers) == {"Payment-Receipt"}
    assert Receipt.from_payment_receipt(headers["Payment-Receipt"]).reference == "0xabc"


@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        (VerificationFailedError("the word is wrong"), PaymentRequired, "the word is wrong"),
        (CredentialReplayedError("used before"), AlreadyUsed, "used before"),
        (InternalPaymentError(), Unavailable, "not taken"),
    ],
)
async def test_errors_are_ours(failure: Exception, kind: type[KVProxyError], told: str) -> None:
    made = exchange(failure)
    credential = await signed(made, {"word": "yes"})
    with pytest.raises(kind, match=told):
        await made.checked(credential, DEMAND)


async def test_a_wrong_payload() -> None:
    made = exchange()
    credential = await signed(made, {"words": 5})
    with pytest.raises(PaymentRequired, match="payload is invalid"):
        await made.checked(credential, DEMAND)


async def test_which_credential_is_meant() -> None:
    credential = await signed(exchange(), {"word": "yes"})
    assert named_credential(credential, "tab", "charge") is not None
    assert named_credential(credential, "tab", "upto") is None
    assert named_credential({}, "tab", "charge") is None
    with pytest.raises(PaymentRequired, match="cannot be read"):
        named_credential({"payment-authorization": "Payment x"}, "tab", "charge")
