"""`BalancePayments`: MPP's method ``kvbalance``, which pays from the tenant's prepaid balance. Wholly offline.

A client that speaks MPP and nothing else consents to a price with it and gets a ``Payment-Receipt``. The balance
itself is the ledger's business: it holds the price, and refuses what the balance does not cover.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from kvproxy.core import format_nano
from kvproxy.errors import AlreadyUsed
from kvproxy.payments.mpp_exchange import CheckedCredential, MppExchange, named_credential
from kvproxy.payments.payment_demand import MethodOffer, PaymentDemand, Settlement
from kvproxy.payments.payment_rows import PaymentRow, PaymentRows

if TYPE_CHECKING:
    from mpp import Receipt
    from mpp.server.method import VerifyContext


class BalanceRequest(BaseModel):
    """The request of a ``kvbalance`` challenge: the most that will be taken, and from whose balance."""

    model_config = ConfigDict(extra="forbid")

    amount: str = Field(pattern=r"^[0-9]{1,10}(\.[0-9]{1,9})?$")
    currency: str
    account: str


class BalancePayload(BaseModel):
    """The payload of a ``kvbalance`` credential: the account's name again, as consent. The API key proves it."""

    model_config = ConfigDict(extra="forbid")

    account: str


class BalanceAuthorisation:
    """Consent to a price, used once."""

    covers = 0

    def __init__(self, row: PaymentRow, rows: PaymentRows, proven: CheckedCredential) -> None:
        self.payment = row.id
        self._rows = rows
        self._proven = proven

    async def settle(self, nano: int) -> Settlement:
        """Return the receipt; the ledger takes the price from the balance."""
        await asyncio.to_thread(
            self._rows.advance, self.payment, "authorised", "credited", time.time_ns() // 1_000_000
        )
        return Settlement(self._proven.headers(self.payment), self.payment, 0, self.payment)

    async def release(self) -> None:
        """Give the consent back: the credential may be used for another try."""
        await asyncio.to_thread(self._rows.forget, self.payment, "authorised")


class BalancePayments:
    """The method ``kvbalance`` of ``payments.methods``."""

    name = "kvbalance"

    def __init__(self, rows: PaymentRows, *, realm: str, secret: str) -> None:
        """Take the table; ``secret`` keys the challenges' HMAC. Imports pympp.

        Example:
            ``BalancePayments(PaymentRows(database), realm="kvproxy", secret=secret)``
        """
        from mpp.methods import Method

        self._rows = rows
        self._realm = realm
        self._secret = secret
        self._definition: Any = Method(
            name="kvbalance", intent="charge", request_model=BalanceRequest, payload_model=BalancePayload
        )

    async def quote(self, demand: PaymentDemand) -> MethodOffer:
        """Return the challenge."""
        return await self._exchange(demand).offered(demand)

    async def authorise(
        self, headers: Mapping[str, str], demand: PaymentDemand
    ) -> BalanceAuthorisation | None:
        """Check the consent and write down that it is used."""
        if named_credential(headers, "kvbalance", "charge") is None:
            return None
        proven = await self._exchange(demand).checked(headers, demand)
        challenge = proven.credential.challenge.id
        row = PaymentRow(
            id="kvb_" + hashlib.sha256(challenge.encode()).hexdigest()[:32],
            tenant=demand.tenant,
            method=self.name,
            state="authorised",
            nano=demand.nano,
            units=0,
            payer=demand.tenant,
            exchange={},
        )
        if not await asyncio.to_thread(self._rows.add, row, time.time_ns() // 1_000_000):
            raise AlreadyUsed(
                "This consent was used before; ask for a new challenge. Nothing was taken again."
            )
        return BalanceAuthorisation(row, self._rows, proven)

    def _exchange(self, demand: PaymentDemand) -> MppExchange:
        from mpp.server.method import ServerMethod
        from mpp.server.mpp import Mpp

        method = ServerMethod(method=self._definition, verify=_consented)
        server = Mpp(methods=method, realm=self._realm, secret_key=self._secret, requires_auth=True)
        asked = {
            "amount": format_nano(demand.nano),
            "currency": demand.currency,
            "account": demand.tenant,
        }
        return MppExchange(server, "kvbalance/charge", asked)


async def _consented(context: VerifyContext) -> Receipt:
    """Check that the payload names the account of the challenge."""
    from mpp import Receipt
    from mpp.errors import VerificationFailedError

    payload: Any = context.credential.payload
    if payload.account != context.request["account"]:
        raise VerificationFailedError(f"the balance is that of '{context.request['account']}'")
    return Receipt(status="success", timestamp=datetime.now(UTC), reference="checked", method="kvbalance")
