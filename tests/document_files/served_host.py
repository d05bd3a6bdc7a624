"""A host of these tests behind the real HTTP application."""

from __future__ import annotations

from dataclasses import replace

from kvproxy.core import ALL_PERMISSIONS, Permission
from kvproxy.document_files.file_exchange import FileExchange
from kvproxy.exactness.verify import Verifier
from kvproxy.manifests.trusted_hosts import TrustedHost
from tests.document_files.hosts import Host
from tests.server.doubles import Proxy, make_proxy

KEYS = (
    ("alice", "alice-key-0123456789"),
    ("bob", "bob-key-0123456789ab"),
    ("boss", "boss-key-0123456789a"),
    ("reader", "reader-key-0123456789"),
)
PERMISSIONS: dict[str, frozenset[Permission]] = {"boss": ALL_PERMISSIONS, "reader": frozenset({"read"})}


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {dict(KEYS)[name]}"}


def served(host: Host, *trusted: TrustedHost) -> Proxy:
    """The host as a proxy: ``client_of(served(host))``."""
    proxy = make_proxy(api_keys=KEYS, permissions=PERMISSIONS, max_body=2**16)
    importer = host.importer(*trusted)
    proxy.components = replace(
        proxy.components,
        publisher=host.publisher,
        verifier=Verifier(host.composer, host.library, host.local, "fake", host.publisher.quarantine),
        files=FileExchange(host.exporter, importer),
    )
    return proxy
