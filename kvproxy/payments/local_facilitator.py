"""`LocalFacilitator`: x402's own facilitator over a simulated chain, for development and tests. No money moves.

It runs only where the configuration says ``facilitator: local``, or where a test or an example starts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import ValidationError

from kvproxy.payments.facilitator_client import Json
from kvproxy.payments.simulated_chain import SimulatedChain
from kvproxy.payments.token_asset import TokenAsset
from kvproxy.runtime.recursion_limit import import_eth_account

FACILITATOR_ADDRESS = "0xfAc1117A00000000000000000000000000000001"
"""The address that clients sign as the facilitator's. Nobody has its key, and none is needed: no chain is written."""


class LocalFacilitator:
    """Verifies and settles ``exact`` and ``upto`` payments of one token. Safe from several threads."""

    def __init__(
        self, asset: TokenAsset, wallets: Mapping[str, int] | None = None, file: Path | None = None
    ) -> None:
        """Make the chain with ``wallets`` (units by address), or with what ``file`` has from before.

        Imports x402[evm]: half a second, and not on the event loop.

        Example:
            ``LocalFacilitator(KNOWN_ASSETS["base-sepolia-usdc"], {wallet.address: 5_000_000})``
        """
        import_eth_account()
        from x402 import x402FacilitatorSync
        from x402.mechanisms.evm.exact import ExactEvmFacilitatorScheme
        from x402.mechanisms.evm.upto import UptoEvmFacilitatorScheme, UptoEvmSchemeConfig

        self.chain = SimulatedChain(asset, FACILITATOR_ADDRESS, wallets, file)
        self._lock = Lock()
        chain: Any = self.chain
        self._x402 = x402FacilitatorSync()
        self._x402.register([asset.network], ExactEvmFacilitatorScheme(chain))
        self._x402.register(
            [asset.network], UptoEvmFacilitatorScheme(chain, UptoEvmSchemeConfig(simulate_in_settle=True))
        )

    async def verify(self, payment: Json, requirements: Json) -> Json:
        """Check a payment on a worker thread: a signature takes milliseconds."""
        return await asyncio.to_thread(self.verify_now, payment, requirements)

    async def settle(self, payment: Json, requirements: Json) -> Json:
        """Take a payment on a worker thread."""
        return await asyncio.to_thread(self.settle_now, payment, requirements)

    async def supported(self) -> Json:
        """Return the kinds of payment."""
        return self.supported_now()

    def verify_now(self, payment: Json, requirements: Json) -> Json:
        """Check a payment, blocking."""
        refusal = {"isValid": False, "invalidReason": "invalid_payload"}
        return self._asked(self._x402.verify, payment, requirements, refusal)

    def settle_now(self, payment: Json, requirements: Json) -> Json:
        """Take a payment, blocking. One whose nonce is spent is refused, and names the transaction that spent it."""
        network = str(requirements.get("network", ""))
        refusal = {"success": False, "errorReason": "invalid_payload", "transaction": "", "network": network}
        answer = dict(self._asked(self._x402.settle, payment, requirements, refusal))
        if not answer["success"]:
            answer["transaction"] = self._spent_by(payment) or ""
        return answer

    def supported_now(self) -> Json:
        """Return the kinds of payment as ``/supported`` has them."""
        return dict(self._x402.get_supported().model_dump(mode="json", by_alias=True, exclude_none=True))

    def _asked(self, ask: Callable[..., Any], payment: Json, requirements: Json, refusal: Json) -> Json:
        from x402.schemas import PaymentPayload, PaymentRequirements
        from x402.schemas.errors import PaymentError as X402Error

        try:
            parsed = PaymentPayload.model_validate(payment), PaymentRequirements.model_validate(requirements)
            with self._lock:
                answer = ask(*parsed)
        except (ValidationError, X402Error, ValueError, KeyError, TypeError, AttributeError) as e:
            return {**refusal, "invalidMessage": str(e)[:200]} if "isValid" in refusal else refusal
        return dict(answer.model_dump(mode="json", by_alias=True, exclude_none=True))

    def _spent_by(self, payment: Json) -> str | None:
        """Return the transaction that spent the nonce of a payment of either scheme."""
        body = payment.get("payload")
        signed = None
        if isinstance(body, Mapping):
            signed = body.get("authorization") or body.get("permit2Authorization")
        if not isinstance(signed, Mapping):
            return None
        with self._lock:
            return self.chain.transaction_of(str(signed.get("from", "")), str(signed.get("nonce", "")))
