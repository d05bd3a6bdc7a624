"""`ExactPayments`: an exact amount in tokens, as MPP's ``evm/charge`` and as x402's ``exact``, credited at once.

pympp checks the credential of either dialect: the challenge's HMAC, its expiry, the terms, the validity and the
signature. The settlement is ours (`PaymentSettlement`), because a restart has to be able to finish it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kvproxy.payments.mpp_exchange import CheckedCredential, MppExchange, named_credential
from kvproxy.payments.payment_demand import MethodOffer, PaymentDemand, Settlement
from kvproxy.payments.payment_headers import SIGNATURE_HEADER, json_header, one_header, payment_id
from kvproxy.payments.payment_rows import PaymentRow
from kvproxy.payments.payment_settlement import CreditedPayment, PaymentSettlement
from kvproxy.payments.token_asset import TokenAsset
from kvproxy.runtime.recursion_limit import import_eth_account

if TYPE_CHECKING:
    from mpp.methods.evm.intents import Authorization
    from mpp.server.mpp import Mpp


@dataclass(frozen=True, slots=True)
class PaidInAdvance:
    """An exact payment that is credited already: the request is paid from the balance, which it has raised."""

    credited: CreditedPayment
    headers: Mapping[str, str]
    covers: int = 0

    @property
    def payment(self) -> str:
        """The payment's id."""
        return self.credited.payment

    async def settle(self, nano: int) -> Settlement:
        """Return what was credited; the price is taken from the balance by the ledger."""
        done = self.credited
        return Settlement(self.headers, done.transaction, done.nano, done.payment, done.balance)

    async def release(self) -> None:
        """Take nothing from the balance: what was paid stays there."""


class _NoClaims:
    """A store of pympp's that claims nothing: payments' rows are the claims, with all that a restart needs."""

    async def get(self, key: str) -> Any | None:
        return None

    async def put(self, key: str, value: Any) -> None:
        pass

    async def delete(self, key: str) -> None:
        pass

    async def put_if_absent(self, key: str, value: Any) -> bool:
        return True


class ExactPayments:
    """The method ``evm`` of ``payments.methods``."""

    name = "evm"

    def __init__(
        self, settlement: PaymentSettlement, asset: TokenAsset, recipient: str, *, realm: str, secret: str
    ) -> None:
        """Take the token and its recipient; ``secret`` keys the challenges' HMAC. Imports pympp's EVM parts.

        Example:
            ``ExactPayments(settlement, asset, "0x742d…", realm="kvproxy", secret=secret)``
        """
        import_eth_account()
        from mpp.methods.evm.assets import EvmAsset
        from mpp.methods.evm.server import charge
        from mpp.server.mpp import Mpp

        self._settlement = settlement
        self._asset = asset
        token = EvmAsset(asset.address, asset.decimals, asset.chain_id, asset.name, asset.version)

        def server(hook: Callable[[Authorization], str]) -> Mpp:
            # "resource": plain x402 clients sign no route binding. They echo terms and URL, which pympp compares.
            method = charge(
                currency=token, recipient=recipient, settle=hook, store=_NoClaims(), route_binding="resource"
            )
            return Mpp(methods=method, realm=realm, secret_key=secret, requires_auth=True)

        self._server = server

    async def quote(self, demand: PaymentDemand) -> MethodOffer:
        """Return MPP's challenge and x402's requirements for the demand, rounded up to whole units."""
        return await self._exchange(demand, lambda _: "unpaid").offered(demand)

    async def authorise(self, headers: Mapping[str, str], demand: PaymentDemand) -> PaidInAdvance | None:
        """Take the exact amount and credit it. A signature of an exact transfer cannot be settled at less."""
        if not self._is_meant(headers):
            return None
        seen: list[Authorization] = []

        def verified(authorization: Authorization) -> str:
            seen.append(authorization)
            return "checked"

        proven = await self._exchange(demand, verified).checked(headers, demand)
        credited = await self._charged(demand, proven, seen[0])
        return PaidInAdvance(credited, proven.headers(credited.transaction))

    def _exchange(self, demand: PaymentDemand, hook: Callable[[Authorization], str]) -> MppExchange:
        amount = self._asset.decimal_text(self._asset.units_for(demand.nano))
        return MppExchange(self._server(hook), "evm/charge", {"amount": amount})

    async def _charged(
        self, demand: PaymentDemand, proven: CheckedCredential, authorization: Authorization
    ) -> CreditedPayment:
        payload, asset = authorization.payload, self._asset
        id = payment_id(asset.network, asset.address, payload["from"], payload["nonce"])
        await self._settlement.refuse_replay(id)
        requirements = {
            "scheme": "exact",
            "network": asset.network,
            "amount": payload["value"],
            "asset": authorization.request["currency"],
            "payTo": authorization.request["recipient"],
            "maxTimeoutSeconds": 300,
            "extra": {"assetTransferMethod": "eip3009", "name": asset.name, "version": asset.version},
        }
        signed = {name: value for name, value in payload.items() if name not in ("type", "signature")}
        payment = {
            "x402Version": 2,
            "accepted": requirements,
            "payload": {"authorization": signed, "signature": payload["signature"]},
        }
        await self._settlement.check(payment, requirements)
        row = PaymentRow(
            id=id,
            tenant=demand.tenant,
            method=self.name,
            state="intended",
            nano=demand.nano,
            units=int(payload["value"]),
            payer=payload["from"],
            exchange={"payment": payment, "requirements": requirements},
        )
        await self._settlement.begin(row)
        return await self._settlement.take(row)

    def _is_meant(self, headers: Mapping[str, str]) -> bool:
        if named_credential(headers, "evm", "charge") is not None:
            return True
        signature = one_header(headers, SIGNATURE_HEADER)
        if signature is None:
            return False
        accepted = json_header(signature, "PAYMENT-SIGNATURE").get("accepted")
        return isinstance(accepted, Mapping) and accepted.get("scheme") == "exact"
