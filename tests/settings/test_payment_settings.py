"""The section `payments`: what is refused, and the plan that the rest becomes."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.config import Config
from kvproxy.payments.token_asset import KNOWN_ASSETS
from kvproxy.stack.plan_payments import payment_plan

RECIPIENT = "0x" + "ab" * 20
WHOLE: dict[str, Any] = {"methods": ["evm", "upto"], "recipient": RECIPIENT, "facilitator": "local"}


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"methods": ["evm"]}, "needs 'recipient'"),
        ({"methods": ["upto"], "recipient": RECIPIENT}, "needs 'facilitator'"),
        ({"methods": ["cash"]}, "methods"),
        ({"methods": ["kvbalance", "kvbalance"]}, "twice"),
        ({**WHOLE, "recipient": "0x12"}, "recipient"),
        ({**WHOLE, "facilitator": "ftp://x"}, "facilitator"),
        ({**WHOLE, "asset": "gold"}, "asset"),
        (
            {
                **WHOLE,
                "asset": {"chain_id": 1, "address": RECIPIENT, "decimals": 19, "name": "T", "version": "1"},
            },
            "18",
        ),
        ({**WHOLE, "least_topup": "5", "most_topup": "1"}, "more than most_topup"),
        ({**WHOLE, "most_topup": "0"}, "no amount that could be paid"),
        ({**WHOLE, "most_topup": "1e3"}, "is no amount"),
        ({**WHOLE, "facilitator": "https://f.test", "local_wallets": {RECIPIENT: "5"}}, "facilitator: local"),
        ({**WHOLE, "local_wallets": {"alice": "5"}}, "local_wallets"),
        ({**WHOLE, "realm": 'a"b'}, "realm"),
        ({"method": ["evm"]}, "did you mean 'methods'"),
    ],
)
def test_what_is_refused(section: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Config.model_validate({"payments": section})


def test_the_plan() -> None:
    section = {**WHOLE, "local_wallets": {RECIPIENT: "5.25"}, "least_topup": "0.5"}
    plan = payment_plan(Config.model_validate({"payments": section, "server": {"timeout_s": 90.5}}), "EUR")
    assert plan.methods == ("evm", "upto") and plan.currency == "EUR" and plan.longest_s == 91
    assert plan.asset == KNOWN_ASSETS["base-sepolia-usdc"]
    assert plan.local_wallets == {RECIPIENT: 5_250_000_000}
    assert (plan.limits.least_nano, plan.limits.most_nano) == (500_000_000, 100_000_000_000)
    assert plan.public_url == "http://127.0.0.1:8321"


def test_another_token_and_no_methods() -> None:
    token = {"chain_id": 1, "address": RECIPIENT, "decimals": 18, "name": "Coin", "version": "1"}
    plan = payment_plan(Config.model_validate({"payments": {**WHOLE, "asset": token}}), "USD")
    assert (plan.asset.network, plan.asset.decimals) == ("eip155:1", 18)
    assert payment_plan(Config(), "USD").methods == ()
