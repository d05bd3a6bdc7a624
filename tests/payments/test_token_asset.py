"""Units and nano-units: rounded up when asked, never lost, never invented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpp.methods.evm.assets import BASE_SEPOLIA_USDC, BASE_USDC

from kvproxy.payments.token_asset import KNOWN_ASSETS, TokenAsset


def token(decimals: int) -> TokenAsset:
    return TokenAsset(1, "0x" + "1" * 40, decimals, "T", "1")


@given(st.integers(0, 2**62), st.integers(0, 18))
def test_what_is_asked_covers_the_price_by_less_than_a_unit(nano: int, decimals: int) -> None:
    asset = token(decimals)
    units = asset.units_for(nano)
    paid = asset.nano_of(units)
    assert paid >= nano
    assert units == 0 or asset.decimals > 9 or asset.nano_of(units - 1) < nano
    assert asset.units_for(paid) == units


@given(st.integers(0, 10**30), st.integers(0, 18))
def test_decimal_text_is_exact(units: int, decimals: int) -> None:
    whole, _, part = token(decimals).decimal_text(units).partition(".")
    assert len(part) == decimals and int(whole + part) == units


def test_usdc() -> None:
    usdc = KNOWN_ASSETS["base-usdc"]
    assert [usdc.units_for(nano) for nano in (0, 1, 1000, 1001)] == [0, 1, 1, 2]
    assert usdc.nano_of(2) == 2000 and usdc.decimal_text(20_000) == "0.020000"


def test_a_part_of_a_nano_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="no whole number"):
        token(18).nano_of(1)
    with pytest.raises(ValueError, match="cannot be asked"):
        token(6).units_for(-1)


@pytest.mark.parametrize(
    ("name", "theirs"), [("base-usdc", BASE_USDC), ("base-sepolia-usdc", BASE_SEPOLIA_USDC)]
)
def test_the_known_tokens_are_pympps(name: str, theirs: object) -> None:
    ours = KNOWN_ASSETS[name]
    assert all(
        getattr(theirs, field) == getattr(ours, field)
        for field in ("address", "decimals", "chain_id", "name", "version", "network")
    )
