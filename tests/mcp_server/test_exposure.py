"""An MCP server listens only where it may."""

from __future__ import annotations

import pytest

from kvproxy.errors import SetupError
from kvproxy.mcp_server.exposure import read_exposure

TOKEN = "a-token-of-the-test"


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1:0", "127.0.0.1"),
        ("localhost:8322", "localhost"),
        ("[::1]:8322", "::1"),
        ("127.1.2.3:1", "127.1.2.3"),
    ],
)
def test_loopback_needs_no_token(address: str, host: str) -> None:
    exposure = read_exposure(address, None)
    assert (exposure.host, exposure.token) == (host, None)
    assert {"127.0.0.1:*", "localhost:*", "[::1]:*", "localhost"} <= set(exposure.hosts)
    assert "http://localhost:*" in exposure.origins


@pytest.mark.parametrize(
    "address", ["0.0.0.0:8322", "10.0.0.4:8322", "[::]:8322", "example.org:8322", "[fe80::1]:80"]
)
def test_others_need_a_token(address: str) -> None:
    with pytest.raises(SetupError, match="--token"):
        read_exposure(address, None, ["kv.example.org"])


def test_a_bound_address_is_a_name_of_its_own() -> None:
    exposure = read_exposure("10.0.0.4:8322", TOKEN, ["kv.example.org"])
    assert {"10.0.0.4:*", "kv.example.org", "kv.example.org:*"} <= set(exposure.hosts)
    assert "https://kv.example.org" in exposure.origins
    assert "[fe80::1]:*" in read_exposure("[fe80::1]:8322", TOKEN).hosts


def test_every_address_needs_a_name() -> None:
    with pytest.raises(SetupError, match="--allow-host"):
        read_exposure("0.0.0.0:8322", TOKEN)
    assert "kv.example.org:*" in read_exposure("0.0.0.0:8322", TOKEN, ["kv.example.org"]).hosts


@pytest.mark.parametrize(
    "address", ["8322", ":8322", "::1:8322", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:²", "a:99999"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(SetupError, match=r"HOST:PORT|no port"):
        read_exposure(address, TOKEN)


@pytest.mark.parametrize("token", ["", "two words", "schlüssel", "a\nb"])
def test_a_token_must_fit_a_header(token: str) -> None:
    with pytest.raises(SetupError, match="printable ASCII"):
        read_exposure("127.0.0.1:1", token)
