"""`UptoAuthorisation`: a Permit2 signature that was checked and written down, until its price is known."""

from __future__ import annotations

from kvproxy.errors import InvalidRequest
from kvproxy.payments.mpp_exchange import CheckedCredential
from kvproxy.payments.payment_demand import Settlement
from kvproxy.payments.payment_headers import header_json
from kvproxy.payments.payment_rows import PaymentRow
from kvproxy.payments.payment_settlement import PaymentSettlement
from kvproxy.payments.token_asset import TokenAsset


class UptoAuthorisation:
    """A checked Permit2 signature, written down and not used."""

    def __init__(
        self,
        row: PaymentRow,
        settlement: PaymentSettlement,
        asset: TokenAsset,
        mpp: CheckedCredential | None,
    ) -> None:
        """Take the row and what it is settled with; ``mpp`` is the credential where MPP brought it."""
        self.payment = row.id
        self.covers = row.nano
        self._row = row
        self._settlement = settlement
        self._asset = asset
        self._mpp = mpp
        self._settled: Settlement | None = None

    async def settle(self, nano: int) -> Settlement:
        """Take ``nano``, rounded up to whole units and never more than was signed; the rest stays in the balance."""
        if self._settled is not None:
            return self._settled
        units = self._asset.units_for(nano)
        if units > self._row.units:
            raise InvalidRequest(f"Payment {self.payment} was authorised for less than its price")
        if units == 0:
            await self._settlement.release(self.payment)
            self._settled = Settlement({}, self.payment, 0, self.payment)
            return self._settled
        credited = await self._settlement.take(await self._settlement.intend(self._row, units))
        headers = self._receipt(credited.transaction, units)
        self._settled = Settlement(
            headers, credited.transaction, credited.nano, self.payment, credited.balance
        )
        return self._settled

    async def release(self) -> None:
        """Take nothing."""
        if self._settled is None:
            await self._settlement.release(self.payment)

    def _receipt(self, transaction: str, units: int) -> dict[str, str]:
        if self._mpp is not None:
            return self._mpp.headers(transaction)
        answer = {
            "success": True,
            "transaction": transaction,
            "network": self._asset.network,
            "payer": self._row.payer,
            "amount": str(units),
        }
        return {"PAYMENT-RESPONSE": header_json(answer)}
