from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import find

from kvproxy.errors import SetupError, SignatureRefused, Unavailable
from kvproxy.manifests.manifest import MANIFEST_TYP
from kvproxy.manifests.manifest_claims import manifest_claims
from kvproxy.manifests.trusted_hosts import (
    MOST_JWKS,
    MOST_MANIFEST,
    TrustedHost,
    TrustedHosts,
    read_jwks,
    trusted_host,
)
from kvproxy.receipts.host_keys import HostKeys
from tests.manifests.manifest_values import MANIFESTS

CLAIMS = manifest_claims(find(MANIFESTS, lambda manifest: True))


def signed(keys: HostKeys, host: str) -> str:
    return keys.sign({**CLAIMS, "iss": host}, MANIFEST_TYP)


@contextmanager
def answering(body: bytes, status: int = 200, location: str = "") -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            server.shutdown()


@pytest.fixture
def a(tmp_path: Path) -> HostKeys:
    return HostKeys.open(tmp_path / "a")


@pytest.fixture
def b(tmp_path: Path) -> HostKeys:
    return HostKeys.open(tmp_path / "b")


def test_a_key_speaks_for_its_own_host_alone(tmp_path: Path, a: HostKeys, b: HostKeys) -> None:
    file = tmp_path / "b.json"
    file.write_text(json.dumps(b.jwks()))
    hosts = TrustedHosts("a", a.jwks, [TrustedHost("b", file)])
    assert hosts.verify(signed(a, "a")).host == "a"
    assert hosts.verify(signed(b, "b")).host == "b"
    for forged in (signed(a, "b"), signed(b, "a")):
        with pytest.raises(SignatureRefused, match="not among the host's keys"):
            hosts.verify(forged)
    with pytest.raises(SignatureRefused, match="of the host 'c', which is not trusted here"):
        hosts.verify(signed(a, "c"))
    # An operator's own word is for one manifest, whatever its host.
    assert hosts.verify(signed(a, "c"), a.jwks()).host == "c"
    with pytest.raises(SignatureRefused):
        hosts.verify(signed(a, "c"), b.jwks())
    assert hosts.verify(signed(a, "a"), b.jwks()).host == "a", "and takes nothing from the others"


def test_keys_that_are_rotated_are_read_again(tmp_path: Path, a: HostKeys, b: HostKeys) -> None:
    file = tmp_path / "b.json"
    file.write_text(json.dumps({"keys": []}))
    hosts = TrustedHosts("a", a.jwks, [TrustedHost("b", file)])
    with pytest.raises(SignatureRefused):
        hosts.verify(signed(b, "b"))
    file.write_text(json.dumps({"object": "kvproxy_host", "jwks": b.jwks()}))
    assert hosts.verify(signed(b, "b")).host == "b"


def test_manifests_that_are_too_large_are_not_parsed(a: HostKeys) -> None:
    with pytest.raises(SignatureRefused, match="more than"):
        TrustedHosts("a", a.jwks).verify("x" * (MOST_MANIFEST + 1))


@pytest.mark.parametrize("text", ["", "e30", "..", "a.b.c", "e30.e30.e30", "\x00", "ü.ü.ü", "." * 1000])
def test_what_is_no_manifest_is_refused(a: HostKeys, text: str) -> None:
    with pytest.raises(SignatureRefused):
        TrustedHosts("a", a.jwks).verify(text)


def test_keys_are_fetched_from_where_an_operator_has_said(a: HostKeys) -> None:
    with answering(json.dumps({"jwks": a.jwks()}).encode()) as url:
        assert read_jwks(url) == a.jwks()
        assert TrustedHosts("b", lambda: {"keys": []}, [TrustedHost("a", url)]).verify(signed(a, "a"))
    with pytest.raises(Unavailable, match="cannot be fetched"):
        read_jwks(url)
    with answering(b"", 302, "http://127.0.0.1:1/") as url, pytest.raises(Unavailable):
        read_jwks(url)
    with answering(b"x" * (MOST_JWKS + 1)) as url, pytest.raises(SignatureRefused, match="more than"):
        read_jwks(url)
    with answering(b"[[[") as url, pytest.raises(SignatureRefused, match="holds no keys"):
        read_jwks(url)


def test_files_that_hold_no_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        read_jwks(tmp_path / "none.json")
    file = tmp_path / "list.json"
    file.write_text("[" * 100_000)
    with pytest.raises(SignatureRefused, match="holds no keys"):
        read_jwks(file)


def test_a_configured_host_is_a_file_or_a_url(tmp_path: Path) -> None:
    assert trusted_host("a", "keys/a.json", tmp_path).jwks == tmp_path / "keys" / "a.json"
    assert trusted_host("a", "https://a/jwks", tmp_path).jwks == "https://a/jwks"
    with pytest.raises(SetupError, match="'a' is neither a file nor a URL"):
        trusted_host("a", "ftp://a/jwks", tmp_path)
