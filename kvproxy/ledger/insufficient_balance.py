"""`insufficient_balance`: the error of a hold that a balance does not cover, and the one that is tried again."""

from __future__ import annotations

from kvproxy.core.money import format_nano
from kvproxy.errors import KVProxyError, PaymentRequired
from kvproxy.ledger.bookings import HoldRequest
from kvproxy.ledger.lease_sql import AccountFunds
from kvproxy.ledger.open_holds import Purse


class LeasesAskedBack(KVProxyError):
    """Other processes hold what is lacking, and were asked for it. Never shown: the hold is tried again."""


def insufficient_balance(
    request: HoldRequest, funds: AccountFunds, purse: Purse, currency: str
) -> PaymentRequired:
    """Return the error that says what there is, what is needed, and what to do.

    Example:
        ``raise insufficient_balance(request, funds, purse, "USD")``
    """
    tenant = request.caller.name
    held = funds.leased - purse.leased + purse.held
    parts = [f"The balance of '{tenant}' is {format_nano(funds.balance - purse.unbooked)} {currency}"]
    if held:
        parts.append(f", of which requests in progress hold {format_nano(held)}")
    if funds.credit:
        parts.append(f", with a credit of {format_nano(funds.credit)}")
    parts.append(f"; this request may cost up to {format_nano(request.nano)} {currency}. ")
    parts.append(f"Top up the balance (an admin does it with `kvproxy ledger credit {tenant} AMOUNT`), ")
    parts.append("lower max_tokens, or try again when others have ended.")
    return PaymentRequired("".join(parts))
