"""`UptoPayments`: at most the miss price authorised, what it really cost settled; x402's ``upto``, and MPP's intent.

The payer signs a Permit2 transfer of at most an amount; x402's proxy contract lets the facilitator take less. x402[evm]
does this scheme. pympp 0.16 knows no ``upto``: the intent's request and payload are ours (`upto_wire`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kvproxy.errors import PaymentRequired
from kvproxy.payments.facilitator_client import Facilitator, FacilitatorUnclear
from kvproxy.payments.mpp_exchange import CheckedCredential, MppExchange, named_credential
from kvproxy.payments.payment_demand import MethodOffer, PaymentDemand
from kvproxy.payments.payment_headers import (
    SIGNATURE_HEADER,
    json_header,
    one_header,
    payment_id,
)
from kvproxy.payments.payment_rows import PaymentRow
from kvproxy.payments.payment_settlement import PaymentSettlement
from kvproxy.payments.token_asset import TokenAsset
from kvproxy.payments.upto_authorisation import UptoAuthorisation
from kvproxy.payments.upto_wire import SignedPermit, UptoPayload, UptoRequest, signed_permit
from kvproxy.runtime.recursion_limit import import_eth_account

if TYPE_CHECKING:
    from mpp.server.method import VerifyContext

_KIND_S = 600.0
"""Seconds after which the facilitator is asked again for the address that payers sign."""
_SLACK_S = 60
"""Seconds of validity that a signature must have left beyond ``longest_s``: the settlement comes after the answer."""


class UptoPayments:
    """The method ``upto`` of ``payments.methods``."""

    name = "upto"

    def __init__(
        self,
        settlement: PaymentSettlement,
        facilitator: Facilitator,
        asset: TokenAsset,
        recipient: str,
        *,
        realm: str,
        secret: str,
        longest_s: int,
    ) -> None:
        """Take the token and its recipient; ``longest_s`` is how long a request may take until it is settled.

        Imports x402[evm] and pympp. Example:
            ``UptoPayments(settlement, facilitator, asset, "0x742d…", realm="kvproxy", secret=secret, longest_s=600)``
        """
        import_eth_account()
        import x402.mechanisms.evm.upto
        from mpp.methods import Method

        assert x402.mechanisms.evm.upto  # imported here, so that a missing extra shows at the start
        self._settlement = settlement
        self._facilitator = facilitator
        self._asset = asset
        self._recipient = recipient
        self._realm = realm
        self._secret = secret
        self._longest_s = longest_s
        self._definition: Any = Method(
            name="evm", intent="upto", request_model=UptoRequest, payload_model=UptoPayload
        )
        self._kind: Mapping[str, Any] | None = None
        self._asked_s = 0.0

    async def quote(self, demand: PaymentDemand) -> MethodOffer:
        """Return MPP's challenge and x402's requirements. Nothing where the facilitator does not answer."""
        try:
            requirements = await self._requirements(self._asset.units_for(demand.nano))
        except FacilitatorUnclear:
            return MethodOffer()
        own = await self._exchange(requirements).offered(demand)
        return replace(own, accepts=(requirements,), extensions={})

    async def authorise(self, headers: Mapping[str, str], demand: PaymentDemand) -> UptoAuthorisation | None:
        """Check a signature of either dialect with the facilitator, and write it down."""
        native = named_credential(headers, "evm", "upto") is not None
        signature = None if native else one_header(headers, SIGNATURE_HEADER)
        sent = {} if signature is None else json_header(signature, "PAYMENT-SIGNATURE")
        accepted = sent.get("accepted")
        if not native and not (isinstance(accepted, Mapping) and accepted.get("scheme") == "upto"):
            return None
        units = self._asset.units_for(demand.nano)
        try:
            requirements = await self._requirements(units)
        except FacilitatorUnclear as e:
            raise PaymentRequired(f"Payment by request is not possible now: {e}. Pay from a balance.") from e
        mpp = None
        if native:
            mpp = await self._exchange(requirements).checked(headers, demand)
            payload: Any = mpp.credential.payload
            sent = {"payload": payload}
        elif not _same_terms(accepted, requirements):
            raise PaymentRequired(
                "The payment's terms are not those of this request; ask for a new challenge"
            )
        return await self._authorised(signed_permit(sent.get("payload")), requirements, demand, mpp)

    async def _authorised(
        self,
        signed: SignedPermit,
        requirements: Mapping[str, Any],
        demand: PaymentDemand,
        mpp: CheckedCredential | None,
    ) -> UptoAuthorisation:
        needed = int(requirements["amount"])
        if signed.units < needed:
            raise PaymentRequired(
                f"The payment allows {signed.units} units, and the request may cost {needed}; ask for a challenge"
            )
        if signed.deadline < time.time() + self._longest_s + _SLACK_S:
            raise PaymentRequired("The payment expires before an answer might be ready; sign a new one")
        id = payment_id(self._asset.network, self._asset.address, signed.payer, signed.nonce)
        await self._settlement.refuse_replay(id)
        # The facilitator compares the signed amount with this one, and takes a smaller one at the settlement.
        whole = {**requirements, "amount": str(signed.units)}
        payment = {"x402Version": 2, "accepted": whole, "payload": dict(signed.body)}
        await self._settlement.check(payment, whole)
        row = PaymentRow(
            id=id,
            tenant=demand.tenant,
            method=self.name,
            state="authorised",
            nano=self._asset.nano_of(signed.units),
            units=signed.units,
            payer=signed.payer,
            exchange={"payment": payment, "requirements": whole},
        )
        await self._settlement.begin(row)
        return UptoAuthorisation(row, self._settlement, self._asset, mpp)

    async def _requirements(self, units: int) -> Mapping[str, Any]:
        """Return x402's requirements, completed by its own server's scheme with what the facilitator says."""
        from x402.mechanisms.evm.upto import UptoEvmServerScheme
        from x402.schemas import PaymentRequirements, SupportedKind

        if self._kind is None or time.monotonic() > self._asked_s + _KIND_S:
            self._kind = _upto_kind(await self._facilitator.supported(), self._asset.network)
            self._asked_s = time.monotonic()
        asset = self._asset
        bare = PaymentRequirements(
            scheme="upto",
            network=asset.network,
            asset=asset.address,
            amount=str(units),
            pay_to=self._recipient,
            max_timeout_seconds=self._longest_s + 5 * _SLACK_S,
            extra={"name": asset.name, "version": asset.version},
        )
        kind = SupportedKind.model_validate(self._kind)
        scheme: Any = UptoEvmServerScheme
        whole = scheme().enhance_payment_requirements(bare, kind, [])
        return dict(whole.model_dump(mode="json", by_alias=True, exclude_none=True))

    def _exchange(self, requirements: Mapping[str, Any]) -> MppExchange:
        from mpp import Receipt
        from mpp.server.method import ServerMethod
        from mpp.server.mpp import Mpp

        async def verify(context: VerifyContext) -> Receipt:
            return Receipt(status="success", timestamp=datetime.now(UTC), reference="checked", method="evm")

        method = ServerMethod(method=self._definition, verify=verify)
        server = Mpp(methods=method, realm=self._realm, secret_key=self._secret, requires_auth=True)
        details = {
            "chainId": self._asset.chain_id,
            "decimals": self._asset.decimals,
            "facilitator": requirements["extra"]["facilitatorAddress"],
        }
        asked = {
            "amount": requirements["amount"],
            "currency": requirements["asset"],
            "recipient": requirements["payTo"],
            "methodDetails": details,
        }
        return MppExchange(server, "evm/upto", asked)


def _upto_kind(supported: Mapping[str, Any], network: str) -> Mapping[str, Any]:
    for kind in supported.get("kinds") or ():
        if isinstance(kind, Mapping) and (kind.get("scheme"), kind.get("network")) == ("upto", network):
            return kind
    raise FacilitatorUnclear(f"the facilitator supports no upto payments on {network}")


def _same_terms(accepted: object, requirements: Mapping[str, Any]) -> bool:
    """Tell whether terms are those of the requirements, apart from the amount: the signature has that."""
    if not isinstance(accepted, Mapping):
        return False
    same = all(str(accepted.get(name)) == str(requirements[name]) for name in ("scheme", "network"))
    return same and all(
        str(accepted.get(name)).lower() == str(requirements[name]).lower() for name in ("asset", "payTo")
    )
