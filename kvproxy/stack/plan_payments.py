"""`payment_plan`: the plain values of payments, from the settings."""

from __future__ import annotations

import math

from kvproxy.config import Config
from kvproxy.core import parse_nano
from kvproxy.payments.open_payments import PaymentPlan
from kvproxy.payments.token_asset import KNOWN_ASSETS, TokenAsset
from kvproxy.payments.topup_limits import TopupLimits


def payment_plan(config: Config, currency: str) -> PaymentPlan:
    """Return the plan of the section ``payments``; ``currency`` is the host's."""
    settings, server = config.payments, config.server
    chosen = settings.asset
    asset = KNOWN_ASSETS[chosen] if isinstance(chosen, str) else TokenAsset(**chosen.model_dump())
    return PaymentPlan(
        methods=settings.methods,
        recipient=settings.recipient or "",
        asset=asset,
        facilitator=settings.facilitator or "",
        currency=currency,
        realm=settings.realm,
        public_url=settings.public_url or f"http://{server.host}:{server.port}",
        limits=TopupLimits(parse_nano(settings.least_topup), parse_nano(settings.most_topup)),
        longest_s=math.ceil(server.timeout_s),
        local_wallets={address: parse_nano(amount) for address, amount in settings.local_wallets.items()},
    )
