"""The simulated contracts check by themselves, whoever calls them."""

from __future__ import annotations

import time

import pytest
from x402.mechanisms.evm.constants import X402_UPTO_PERMIT2_PROXY_ADDRESS
from x402.mechanisms.evm.upto import UptoEvmClientScheme
from x402.schemas import PaymentRequirements

from kvproxy.payments.local_facilitator import FACILITATOR_ADDRESS
from kvproxy.payments.simulated_chain import Reverted, SimulatedChain
from tests.payments.paying import ASSET, RECIPIENT, wallet

PROXY = X402_UPTO_PERMIT2_PROXY_ADDRESS


@pytest.fixture
def chain() -> SimulatedChain:
    return SimulatedChain(ASSET, FACILITATOR_ADDRESS, {wallet().address: 5000})


def permitted(most: int = 3000) -> list[object]:
    """The arguments of the proxy's settle, signed by x402's client; the second is the amount to take."""
    requirements = PaymentRequirements(
        scheme="upto",
        network=ASSET.network,
        asset=ASSET.address,
        amount=str(most),
        pay_to=RECIPIENT,
        max_timeout_seconds=300,
        extra={"facilitatorAddress": FACILITATOR_ADDRESS},
    )
    sent = UptoEvmClientScheme(wallet()).create_payment_payload(requirements)  # type: ignore[arg-type]  # x402 wraps accounts of eth_account
    permit = sent["permit2Authorization"]
    witness = permit["witness"]
    return [
        ((permit["permitted"]["token"], most), int(permit["nonce"]), int(permit["deadline"])),
        most,
        permit["from"],
        (witness["to"], witness["facilitator"], int(witness["validAfter"])),
        bytes.fromhex(sent["signature"][2:]),
    ]


def test_a_part_of_what_is_permitted(chain: SimulatedChain) -> None:
    args = permitted()
    args[1] = 1200
    assert chain.read_contract(PROXY, [], "settle", *args) is None
    assert chain.balance(RECIPIENT) == 0
    transaction = chain.write_contract(PROXY, [], "settle", *args)
    assert chain.balance(RECIPIENT) == 1200 and chain.balance(wallet().address) == 3800
    assert chain.wait_for_transaction_receipt(transaction).status == 1
    assert chain.wait_for_transaction_receipt("0x00").status == 0
    with pytest.raises(Reverted, match="InvalidNonce"):
        chain.write_contract(PROXY, [], "settle", *args)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (1, 3001, "AmountExceedsPermitted"),
        (1, 0, "AmountExceedsPermitted"),
        (1, -5, "AmountExceedsPermitted"),
        (2, wallet(3).address, "InvalidSignature"),
        (3, (wallet(3).address, FACILITATOR_ADDRESS, 0), "InvalidSignature"),
        (3, (RECIPIENT, wallet(3).address, 0), "UnauthorizedFacilitator"),
        (3, (RECIPIENT, FACILITATOR_ADDRESS, 2**40), "PaymentTooEarly"),
        (4, b"\x01" * 65, "InvalidSignature"),
        (0, ((ASSET.address, 3000), 1, int(time.time()) - 1), "SignatureExpired"),
        (0, ((wallet(3).address, 3000), 1, 2**40), "InvalidToken"),
    ],
)
def test_what_the_proxy_refuses(chain: SimulatedChain, place: int, value: object, reason: str) -> None:
    args = permitted()
    args[place] = value
    with pytest.raises(Reverted, match=reason):
        chain.write_contract(PROXY, [], "settle", *args)
    assert chain.balance(RECIPIENT) == 0


def test_more_than_the_balance(chain: SimulatedChain) -> None:
    with pytest.raises(Reverted, match="exceeds balance"):
        chain.write_contract(PROXY, [], "settle", *permitted(5001))


def test_only_the_token_has_code(chain: SimulatedChain) -> None:
    assert chain.get_code(ASSET.address) and not chain.get_code(wallet().address)
    assert chain.read_contract(ASSET.address, [], "balanceOf", wallet().address) == 5000
    with pytest.raises(Reverted, match="no function"):
        chain.write_contract(ASSET.address, [], "mint", wallet().address, 10**9)
