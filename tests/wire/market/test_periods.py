from __future__ import annotations

import pytest

from kvproxy.errors import InvalidRequest
from kvproxy.wire.market.periods import parse_moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0", 0),
        ("1795988519", 1_795_988_519),
        ("2026-11-29", 1_795_910_400),
        ("2026-11-29T21:40:00Z", 1_795_988_400),
        ("2026-11-29T22:40:00+01:00", 1_795_988_400),
    ],
)
def test_moments(text: str, moment: int) -> None:
    assert parse_moment(text, param="from") == moment


@pytest.mark.parametrize(
    "text", ["", "-1", "1e3", "yesterday", "99999999999", "1900-01-01", "9999-12-31", "\u0661"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid 'from'"):
        parse_moment(text, param="from")
