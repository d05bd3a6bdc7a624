"""A page with sound checksums and other numbers than its host signed: planted, or computed wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.manifests.manifest import (
    MANIFEST_TYP,
    Manifest,
    ManifestDocument,
    ManifestEngine,
    ManifestFraming,
    ManifestPage,
    ManifestPolicy,
    token_ids_sha256,
)
from kvproxy.manifests.manifest_claims import manifest_claims
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.store.page_store import PageStore
from tests.documents.registry.own_registry import OwnRegistry
from tests.store.killed_worker import MAX_SIZE, TOKENS, document, keys_of, owner_of, payload_of, stored_keys
from tests.upkeep.filled_store import FilledStore, ref_of

KEYS = stored_keys("doc1", 1)
ENGINE = "ab" * 32


def opened(store: FilledStore) -> PageStore:
    return PageStore(store.folder, max_size=MAX_SIZE, fingerprint=ENGINE)


@pytest.fixture
def store(tmp_path: Path) -> FilledStore:
    """A store whose host has signed a manifest of one version, as it lies on disk."""
    made = FilledStore.make(tmp_path / "kv")
    keys = HostKeys.open(made.folder)
    published = document("doc1", 1)
    with opened(made) as pages, OwnRegistry(made.folder) as registry:
        pages.delete(KEYS)
        signed = []
        for name, key in zip(keys_of("doc1", 1), KEYS, strict=True):
            pages.put(key, b"", TOKENS, payload_of(key), owner_of("doc1"))
            record = pages.record(key)
            assert record is not None
            signed.append(
                ManifestPage(name.hex(), 256, record.digest.hex(), sum(record.frames), record.codec)
            )
        manifest = Manifest(
            host="kv.example",
            signed_at=1_700_000_000,
            document=ManifestDocument(
                "doc1",
                1,
                published.etag,
                len(published.text.encode()),
                len(published.text),
                700,
                1,
                "a",
                "published",
            ),
            policy=ManifestPolicy("public", None, ""),
            engine=ManifestEngine("tiny", ENGINE, {"model": "tiny"}),
            page_tokens=256,
            framings=(ManifestFraming("system", 768, token_ids_sha256(TOKENS * 3), 500, tuple(signed)),),
        )
        registry.put_manifest(ref_of("doc1", 1), keys.sign(manifest_claims(manifest), MANIFEST_TYP))
    return made


def test_what_was_signed_is_sound(store: FilledStore) -> None:
    found = store.check()
    assert found.sound and found.looked["manifests"] == 1


def test_a_planted_page_is_found_by_its_manifest_and_dropped(store: FilledStore) -> None:
    with opened(store) as pages:
        pages.delete([KEYS[1]])
        pages.put(KEYS[1], b"", TOKENS, b"x" * len(payload_of(KEYS[1])), owner_of("doc1"))
        assert pages.check() == [], "by its checksums alone it is sound"
    found = store.check()
    (fault,) = found.faults
    assert (
        found.bad_pages == (KEYS[1],)
        and "number 1 of doc1@1 (system), is not what its manifest signs" in fault.line
    )
    assert store.repair().left == () and store.check().sound
    with store.open() as (pages, _):
        assert not pages.has(KEYS[1]) and pages.has(KEYS[0])


def test_a_manifest_of_another_text_is_told(store: FilledStore) -> None:
    keys = HostKeys.open(store.folder)
    with store.open() as (_, registry):
        jws = registry.manifest(ref_of("doc1", 1))
        assert jws is not None
        claims = keys.verify(jws, MANIFEST_TYP)
        claims["document"]["etag"] = "0" * 64
        registry.put_manifest(ref_of("doc1", 1), keys.sign(claims, MANIFEST_TYP))
    (fault,) = store.check().faults
    assert fault.line == "manifests: doc1@1: it is of another text (sign again)"
