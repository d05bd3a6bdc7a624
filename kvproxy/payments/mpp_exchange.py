"""One exchange of MPP: a request's headers through pympp's server, to a challenge or a checked credential.

pympp is imported when a method is configured, not before: it takes a third of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from kvproxy.errors import AlreadyUsed, KVProxyError, PaymentRequired, Unavailable
from kvproxy.payments.payment_demand import MethodOffer, PaymentDemand
from kvproxy.payments.payment_headers import CREDENTIAL_HEADER, SIGNATURE_HEADER, json_header, one_header

if TYPE_CHECKING:
    from mpp import Credential, Receipt
    from mpp.server.compose import ComposedHandler
    from mpp.server.mpp import Mpp


@dataclass(frozen=True, slots=True)
class CheckedCredential:
    """A credential that pympp accepted, with the receipt that the method's hook made."""

    credential: Credential
    receipt: Receipt

    def headers(self, reference: str) -> dict[str, str]:
        """Return ``Payment-Receipt`` for a settled payment, and ``PAYMENT-RESPONSE`` where x402 paid."""
        from mpp.server.http import PaymentVerified, Response

        receipt = replace(self.receipt, reference=reference)
        answer = PaymentVerified(credential=self.credential, receipt=receipt).with_receipt(Response.json({}))
        names = {"payment-receipt": "Payment-Receipt", "payment-response": "PAYMENT-RESPONSE"}
        return {names[name]: value for name, value in answer.headers.items() if name in names}


def named_credential(headers: Mapping[str, str], method: str, intent: str) -> str | None:
    """Return the ``Payment-Authorization`` header where its credential is of this method; None for another's.

    Raises PaymentRequired for one that cannot be read.
    Example: ``named_credential(request.headers, "evm", "charge")``.
    """
    value = one_header(headers, CREDENTIAL_HEADER)
    if value is None:
        return None
    from mpp import Credential
    from mpp._parsing import ParseError

    try:
        echo = Credential.from_authorization(value).challenge
    except ParseError as e:
        raise PaymentRequired(
            f"The header Payment-Authorization cannot be read: {e}. Ask for a challenge."
        ) from e
    return value if (echo.method, echo.intent) == (method, intent) else None


@dataclass(frozen=True, slots=True)
class MppExchange:
    """One price of one method, as pympp's server asks for it. Made for one request: the server tells why it refuses
    through its events, and those are of all its requests."""

    server: Mpp
    key: str
    """``evm/charge``: the method and its intent."""
    options: Mapping[str, Any]
    """The method's input."""

    async def offered(self, demand: PaymentDemand) -> MethodOffer:
        """Return the method's challenges for a demand."""
        from mpp.server.http import PaymentRequired as Challenged
        from mpp.server.http import Request

        result = await self._handler(demand)(Request(demand.http_method, demand.url))
        assert isinstance(result, Challenged)  # there was no credential
        headers = result.challenge.headers
        x402: Any = headers.get("PAYMENT-REQUIRED")
        body = json_header(x402, "PAYMENT-REQUIRED") if x402 is not None else {}
        return MethodOffer(
            challenges=tuple(headers.get_list("WWW-Authenticate")),
            accepts=tuple(body.get("accepts", ())),
            extensions=body.get("extensions", {}),
        )

    async def checked(self, headers: Mapping[str, str], demand: PaymentDemand) -> CheckedCredential:
        """Check a credential of either dialect. Raises PaymentRequired, AlreadyUsed or Unavailable with the reason.

        Runs on a worker thread with a loop of its own: recovering a signature's key takes milliseconds of pure Python.
        """
        return await asyncio.to_thread(asyncio.run, self._checked(headers, demand))

    async def _checked(self, headers: Mapping[str, str], demand: PaymentDemand) -> CheckedCredential:
        from mpp.errors import PaymentError
        from mpp.server.http import PaymentVerified, Request

        sent = {name: one_header(headers, name) for name in (CREDENTIAL_HEADER, SIGNATURE_HEADER)}
        known = {name: value for name, value in sent.items() if value is not None}
        reasons: list[str] = []
        self.server.on_payment_failed(lambda event: reasons.append(str(event["error"])))
        try:
            result = await self._handler(demand)(Request(demand.http_method, demand.url, known))
        except PaymentError as e:
            _refuse(int(e.status), str(e), e)
        if isinstance(result, PaymentVerified):
            return CheckedCredential(result.credential, result.receipt)
        _refuse(result.challenge.status, reasons[-1] if reasons else "The payment was not accepted.", None)

    def _handler(self, demand: PaymentDemand) -> ComposedHandler:
        handler: ComposedHandler = self.server[self.key](
            **self.options, description=demand.description or None
        )
        return handler


def _refuse(status: int, detail: str, cause: Exception | None) -> NoReturn:
    """Raise our error for pympp's: 403 there is a replay, 500 an outcome that nobody knows."""
    error: KVProxyError
    if status == 403:
        error = AlreadyUsed(f"{detail} Nothing was taken again; ask for a new challenge.")
    elif status >= 500:
        error = Unavailable("The payment cannot be checked now. It was not taken; try again.")
    else:
        error = PaymentRequired(f"{detail} Nothing was taken; ask for a new challenge and sign it.")
    raise error from cause
