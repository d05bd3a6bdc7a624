"""Shared parts of the payments' tests: wallets, a ledger in memory, and signatures by the protocols' own clients."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from mpp import Challenge
from mpp.client.transport import _payment_challenges
from mpp.methods.evm.assets import EvmAsset
from mpp.methods.evm.client import charge
from mpp.runtime import CredentialParams
from x402.mechanisms.evm.exact import ExactEvmClientScheme
from x402.mechanisms.evm.upto import UptoEvmClientScheme
from x402.schemas import PaymentRequirements

from kvproxy.ledger.bookings import CreditKind
from kvproxy.payments.payment_headers import header_json
from kvproxy.payments.token_asset import KNOWN_ASSETS

ASSET = KNOWN_ASSETS["base-sepolia-usdc"]
RECIPIENT = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
URL = "http://host.test/kv/v1/topup"
TOKEN = EvmAsset(ASSET.address, ASSET.decimals, ASSET.chain_id, ASSET.name, ASSET.version)


def wallet(number: int = 1) -> LocalAccount:
    """A wallet of its own for each number, the same in every run."""
    account: LocalAccount = Account.from_key(number.to_bytes(32, "big"))
    return account


@dataclass
class MemoryLedger:
    """A ledger that credits an id once, as the real one does; ``credits`` has each call that counted."""

    credits: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    fail: int = 0
    """Calls that fail before one succeeds: the process that died in between."""

    async def credit(self, tenant: str, nano: int, kind: CreditKind, reference: str = "", *, id: str) -> int:
        await asyncio.sleep(0)
        if self.fail:
            self.fail -= 1
            raise ConnectionError("the database went away")
        assert kind == "payment" and reference
        self.credits.setdefault(id, (tenant, nano, reference))
        return self.balance(tenant)

    def balance(self, tenant: str) -> int:
        return sum(nano for name, nano, _ in self.credits.values() if name == tenant)


def challenges(headers: Mapping[str, str]) -> dict[str, Challenge]:
    """The challenges of a 402 by method and intent, as pympp's client reads them."""
    read = [Challenge.from_www_authenticate(one) for one in _payment_challenges(headers["WWW-Authenticate"])]
    return {f"{one.method}/{one.intent}": one for one in read}


def requirements(headers: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """x402's requirements of a 402 by scheme."""
    return {one["scheme"]: one for one in x402_of(headers)["accepts"]}


def x402_of(headers: Mapping[str, str]) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.b64decode(headers["PAYMENT-REQUIRED"]))
    return decoded


async def mpp_exact(headers: Mapping[str, str], payer: LocalAccount) -> dict[str, str]:
    """The answer of pympp's own client to a 402."""
    method = charge(currency=TOKEN, account=payer)
    asked = CredentialParams(challenge=challenges(headers)["evm/charge"])
    credential: Any = await method.create_credential(asked)
    return {"Payment-Authorization": credential}


def x402_answer(headers: Mapping[str, str], payer: LocalAccount, scheme: str) -> dict[str, str]:
    """The answer of x402's own client to a 402."""
    asked = requirements(headers)[scheme]
    signer: Any = payer  # both wrap accounts of eth_account
    client: Any = (ExactEvmClientScheme if scheme == "exact" else UptoEvmClientScheme)(signer)
    payload = client.create_payment_payload(PaymentRequirements.model_validate(asked))
    sent = {"x402Version": 2, "payload": payload, "accepted": asked, "resource": x402_of(headers)["resource"]}
    return {"PAYMENT-SIGNATURE": header_json(sent)}


def signed_payload(headers: Mapping[str, str], payer: LocalAccount, scheme: str) -> dict[str, Any]:
    """Signatures of x402's client, for tests that send them by themselves."""
    sent: dict[str, Any] = json.loads(
        base64.b64decode(x402_answer(headers, payer, scheme)["PAYMENT-SIGNATURE"])
    )
    return sent
