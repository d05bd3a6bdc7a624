from __future__ import annotations

import pytest

from kvproxy.server.middleware.origins import Origins

DEFAULT = Origins.of(["loopback"])


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "https://localhost:3000",
        "http://127.0.0.1:8080",
        "http://[::1]:5173",
        "HTTP://LOCALHOST:80",
    ],
)
def test_loopback_at_any_port(origin: str) -> None:
    assert DEFAULT.allow(origin) and not DEFAULT.foreign(origin)
    assert not Origins.of([]).allow(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://evil.example:3000",
        "http://localhost:3000.evil.example",
        "http://127.0.0.1.evil.example",
        "http://user@localhost",
        "http://localhost/",
        "http://10.0.0.5",
    ],
)
def test_pages_of_others(origin: str) -> None:
    assert not DEFAULT.allow(origin) and DEFAULT.foreign(origin)
    assert Origins.of(["*"]).allow(origin) and not Origins.of(["*"]).foreign(origin)


@pytest.mark.parametrize("origin", ["tauri://localhost", "app://obsidian.md", "vscode-webview://abc"])
def test_programs_are_no_pages(origin: str) -> None:
    assert not DEFAULT.allow(origin) and not DEFAULT.foreign(origin)
    assert Origins.of([origin]).allow(origin)


def test_origins_are_compared_as_browsers_write_them() -> None:
    origins = Origins.of(["https://Chat.example.com:443", "http://10.0.0.5:3000"])
    assert origins.allow("https://chat.example.com") and origins.allow("http://10.0.0.5:3000")
    for other in (
        "http://chat.example.com",
        "https://chat.example.com:8443",
        "http://10.0.0.5",
        "http://localhost",
    ):
        assert not origins.allow(other)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("", True),
        ("localhost:8321", True),
        ("127.0.0.1:8321", True),
        ("[::1]:8321", True),
        ("kvproxy:8321", True),
        ("host.docker.internal:8321", True),
        ("box.local", True),
        ("my.localhost:1", True),
        ("chat.example.com", True),
        ("evil.example:8321", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.nip.io:8321", False),
        ("evil.example.", False),
    ],
)
def test_names_that_a_loopback_address_may_have(host: str, allowed: bool) -> None:
    origins = Origins.of(["loopback", "https://chat.example.com"])
    assert origins.host_allowed(host) is allowed
    assert Origins.of(["*"]).host_allowed(host)
