"""`TokenAsset`: a token that is accepted, and exact conversions between its units and nano-units."""

from __future__ import annotations

from dataclasses import dataclass

NANO_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class TokenAsset:
    """A token on one EVM chain, counted one to one as the host's currency.

    ``name`` and ``version`` are those of the EIP-712 domain that its transfers are signed for.
    """

    chain_id: int
    address: str
    decimals: int
    name: str
    version: str

    @property
    def network(self) -> str:
        """The chain as CAIP-2 writes it: ``eip155:8453``."""
        return f"eip155:{self.chain_id}"

    def units_for(self, nano: int) -> int:
        """Return the fewest units that pay for ``nano``: rounded up, since a smaller amount would leave a debt."""
        if nano < 0:
            raise ValueError(f"{nano} nano-units cannot be asked for")
        if self.decimals >= NANO_DECIMALS:
            return nano * _ten_to(self.decimals - NANO_DECIMALS)
        return -(-nano // _ten_to(NANO_DECIMALS - self.decimals))

    def nano_of(self, units: int) -> int:
        """Return what ``units`` are worth, exactly. Raises ValueError for a part of a nano-unit: it would be lost."""
        if self.decimals <= NANO_DECIMALS:
            return units * _ten_to(NANO_DECIMALS - self.decimals)
        nano, rest = divmod(units, _ten_to(self.decimals - NANO_DECIMALS))
        if rest:
            raise ValueError(f"{units} units of {self.name} are no whole number of nano-units")
        return nano

    def decimal_text(self, units: int) -> str:
        """Write units as a decimal of whole tokens: 20,000 of USDC's six decimals are ``0.020000``."""
        whole, rest = divmod(units, _ten_to(self.decimals))
        return f"{whole}.{rest:0{self.decimals}d}" if self.decimals else str(whole)


def _ten_to(power: int) -> int:
    """Return a power of ten; Python types one with a variable power as Any, since it may be a fraction."""
    return int("1" + "0" * power)


KNOWN_ASSETS = {
    "base-usdc": TokenAsset(8453, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", 6, "USD Coin", "2"),
    "base-sepolia-usdc": TokenAsset(84532, "0x036CbD53842c5426634e7929541eC2318f3dCF7e", 6, "USDC", "2"),
}
"""Tokens by the name that ``payments.asset`` may have. A test compares them with pympp's own."""
