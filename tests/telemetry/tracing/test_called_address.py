"""Addresses that are called, as spans show them."""

from __future__ import annotations

import pytest

from kvproxy.telemetry.tracing.called_address import address_attributes


@pytest.mark.parametrize(
    ("url", "host", "port", "full"),
    [
        ("http://gpu-1:8000/v1/completions", "gpu-1", 8000, "http://gpu-1:8000/v1/completions"),
        ("https://api.example.com/v1", "api.example.com", 443, "https://api.example.com/v1"),
        ("http://[::1]:9/", "::1", 9, "http://[::1]:9/"),
        ("https://ann:secret@far/x?key=secret#secret", "far", 443, "https://far/x"),
        ("http://gpu-1:none/", "gpu-1", None, "http://gpu-1:none/"),
    ],
)
def test_an_address_without_secrets(url: str, host: str, port: int | None, full: str) -> None:
    found = address_attributes(url)
    assert (found["server.address"], found.get("server.port"), found["url.full"]) == (host, port, full)
