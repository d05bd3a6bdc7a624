"""`EvmPayer`: pays from an EVM wallet, in one token and up to a cap. Needs ``pip install 'kvproxy[x402]'``."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

from kvproxy.client.request_failed import RequestFailed
from kvproxy.client.topups import PaymentAsked
from kvproxy.runtime.recursion_limit import import_eth_account

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

TokenName = Literal["base-usdc", "base-sepolia-usdc"]


class EvmPayer:
    """Signs exact transfers (`pay`) and authorisations of at most an amount (`authorise`). Nothing is sent on chain.

    The wallet decides which token and how much, never the host that asks: another token, another chain or a larger
    amount is refused. The amount is a decimal of the token.
    """

    def __init__(self, key: str | bytes, *, token: TokenName = "base-sepolia-usdc", most: str = "1") -> None:
        """Take the wallet's private key; ``most`` is the cap of one payment.

        Example: ``Client().topup("5", EvmPayer(os.environ["WALLET_KEY"], most="5"))``.
        """
        import_eth_account()
        from eth_account import Account
        from mpp.methods.evm.assets import BASE_SEPOLIA_USDC, BASE_USDC
        from mpp.methods.evm.client import charge

        self._account: LocalAccount = Account.from_key(key)
        self._asset = {"base-usdc": BASE_USDC, "base-sepolia-usdc": BASE_SEPOLIA_USDC}[token]
        self._charge = charge(currency=self._asset, account=self._account, max_amount=most)
        whole, _, part = most.partition(".")
        self._most = int(whole + part.ljust(self._asset.decimals, "0"))

    @property
    def address(self) -> str:
        """The wallet's address."""
        return str(self._account.address)

    def pay(self, asked: PaymentAsked) -> Mapping[str, str]:
        """Sign MPP's ``evm/charge`` challenge. Raises RequestFailed where none may be paid from this wallet."""
        from mpp import Challenge
        from mpp._parsing import ParseError
        from mpp.client.transport import _payment_challenges
        from mpp.runtime import CredentialParams

        allowed = self._charge.can_handle_challenge
        for field in _payment_challenges(asked.headers.get("www-authenticate", "")):
            try:
                challenge = Challenge.from_www_authenticate(field)
            except ParseError:
                continue
            if (challenge.method, challenge.intent) == ("evm", "charge") and (
                allowed is None or allowed(challenge)
            ):
                params = CredentialParams(challenge=challenge)
                return {challenge.credential_header: _run(self._charge.create_credential(params))}
        raise RequestFailed(f"{asked.url} asks for no payment that this wallet may make")

    def authorise(self, asked: PaymentAsked) -> Mapping[str, str]:
        """Sign x402's ``upto`` requirements: the host takes what the answer cost, at most what it asked for.

        The wallet must have approved Permit2 for the token once. Raises RequestFailed as `pay` does.
        """
        from x402.mechanisms.evm.upto import UptoEvmClientScheme
        from x402.schemas import PaymentRequirements

        required = _decoded(asked)
        for accepted in required.get("accepts") or ():
            if not self._may(accepted):
                continue
            signer: Any = self._account  # x402 wraps accounts of eth_account
            payload = UptoEvmClientScheme(signer).create_payment_payload(
                PaymentRequirements.model_validate(accepted)
            )
            sent = {"x402Version": 2, "payload": payload, "accepted": accepted}
            if "resource" in required:
                sent["resource"] = required["resource"]
            return {"PAYMENT-SIGNATURE": base64.b64encode(json.dumps(sent).encode()).decode()}
        raise RequestFailed(f"{asked.url} asks for no authorisation that this wallet may give")

    def _may(self, accepted: object) -> bool:
        if not isinstance(accepted, Mapping) or accepted.get("scheme") != "upto":
            return False
        amount = str(accepted.get("amount"))
        return (
            accepted.get("network") == self._asset.network
            and str(accepted.get("asset")).lower() == self._asset.address.lower()
            and amount.isascii()
            and amount.isdigit()
            and int(amount) <= self._most
        )


def _decoded(asked: PaymentAsked) -> Mapping[str, Any]:
    try:
        value = json.loads(base64.b64decode(asked.headers.get("payment-required", ""), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


def _run(work: Any) -> str:
    """Run pympp's coroutine to its end, also where this thread's event loop is running."""
    with ThreadPoolExecutor(1) as thread:
        return str(thread.submit(asyncio.run, work).result())
