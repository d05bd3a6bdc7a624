"""The operations on payments: topping up a balance."""

from __future__ import annotations

from kvproxy.errors import AlreadyUsed, PaymentRequired, PermissionDenied, RouteNotFound, Unavailable
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation
from kvproxy.server.openapi.operations.error_groups import BODY
from kvproxy.server.routes import topup_route
from kvproxy.wire.market.topup_types import KvTopup, TopupBody

PAYMENTS = (
    Operation(
        id="topUp",
        method="POST",
        path="/kv/v1/topup",
        handler=topup_route.topup,
        needs="read",
        tag="Payments",
        summary="Top up a balance",
        description=(
            "Without a payment the answer is 402 with challenges of two dialects: `WWW-Authenticate: Payment` (the "
            "Machine Payments Protocol, answered in `Payment-Authorization`) and `PAYMENT-REQUIRED` (x402 v2 `exact`, "
            "answered in `PAYMENT-SIGNATURE`). With one the tenant's balance is credited, once for each signature."
        ),
        body=TopupBody,
        answers=(DocumentedAnswer(KvTopup, description="The payment is credited."),),
        errors=(*BODY, PaymentRequired, AlreadyUsed, PermissionDenied, RouteNotFound, Unavailable),
        example={"amount": "5"},
    ),
)
