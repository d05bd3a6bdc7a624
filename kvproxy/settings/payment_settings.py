"""Section of payments: methods, the token and its recipient, the facilitator, limits of top-ups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from kvproxy.core import parse_nano
from kvproxy.settings.section import Section

_ADDRESS = r"^0x[0-9a-fA-F]{40}$"


def _checked_amount(value: str) -> str:
    if parse_nano(value) <= 0:
        raise ValueError(f"'{value}' is no amount that could be paid")
    return value


Amount = Annotated[str, AfterValidator(_checked_amount)]
"""A positive decimal in quotes, since YAML reads it as a binary fraction otherwise."""


class TokenSettings(Section):
    """A token that has no name here; ``name`` and ``version`` are those of its EIP-712 domain."""

    chain_id: int = Field(ge=1)
    """The number of its chain: 8453 is Base."""
    address: str = Field(pattern=_ADDRESS)
    """The 0x… address of its contract."""
    decimals: int = Field(ge=0, le=18)
    """Decimal places of one token: 6 for USDC."""
    name: str = Field(min_length=1)
    """The name of its EIP-712 domain."""
    version: str = Field(min_length=1)
    """The version of its EIP-712 domain."""


class PaymentSettings(Section):
    """Payments from outside. Without methods the operator credits tenants by hand."""

    methods: tuple[Literal["kvbalance", "evm", "upto"], ...] = ()
    recipient: str | None = Field(default=None, pattern=_ADDRESS)
    """The address that is paid. One for each ledger: two hosts that share one cannot tell their payments apart."""
    asset: Literal["base-usdc", "base-sepolia-usdc"] | TokenSettings = "base-sepolia-usdc"
    facilitator: str | None = Field(default=None, pattern=r"^(local|https?://\S+)$")
    """The URL of an x402 facilitator, or ``local``: checked and never paid, for development."""
    realm: str = Field(default="kvproxy", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")
    public_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    least_topup: Amount = "0.01"
    most_topup: Amount = "100"
    """The most of one top-up, in quotes."""
    local_wallets: dict[Annotated[str, Field(pattern=_ADDRESS)], Amount] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> PaymentSettings:
        tokens = set(self.methods) - {"kvbalance"}
        for name in ("recipient", "facilitator"):
            if tokens and getattr(self, name) is None:
                raise ValueError(f"methods has '{min(tokens)}', which needs '{name}'")
        if len(set(self.methods)) != len(self.methods):
            raise ValueError("methods has one of them twice")
        if self.local_wallets and self.facilitator != "local":
            raise ValueError("local_wallets goes with 'facilitator: local' only")
        if parse_nano(self.least_topup) > parse_nano(self.most_topup):
            raise ValueError("least_topup is more than most_topup")
        return self
