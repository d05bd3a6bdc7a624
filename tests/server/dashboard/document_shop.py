"""A proxy with a real publisher, library and registry on the fake engine, for the views of documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from kvproxy.backends.fake.fake_backend import FakeMisses
from kvproxy.core import Permission
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.reading_rights import ReadingRights
from kvproxy.exactness.verify import Verifier
from kvproxy.pipeline import Pipeline
from kvproxy.served_model import ServedModel
from tests.server.doubles import Proxy, make_proxy
from tests.test_publish import Shop

KEYS = (("alice", "key-of-alice"), ("bob", "key-of-bob"), ("reader", "key-of-reader"))
READER: Mapping[str, frozenset[Permission]] = {"reader": frozenset({"read"})}
TEXT = "".join(f"Rule {i}: everyone shall do what rule {i + 1} says, and nothing else.\n" for i in range(40))


def open_shop(model: Path, state: Path, rights: ReadingRights | None = None) -> tuple[Shop, Proxy]:
    """Return the parts and the proxy: two tenants that publish, and one that only reads."""
    shop = Shop(model, state, set(), (Framing("system"),), rights=rights)
    proxy = make_proxy(api_keys=KEYS, permissions=READER)
    served = ServedModel.of(shop.backend, shop.composer)
    misses = FakeMisses(shop.backend)
    components = replace(
        proxy.components,
        publisher=shop.publisher,
        pipeline=Pipeline(models=[served], misses=misses, default_max_tokens=64),
        verifier=Verifier(shop.composer, shop.library, shop.backend, "fake", shop.publisher.quarantine),
        ready=shop.backend.ready,
    )
    return shop, replace(proxy, backend=shop.backend, misses=misses, components=components)
