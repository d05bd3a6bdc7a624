"""The manifests of a host's own versions: made when they become visible, and again when what they say changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.core import DocumentRef, stored_key
from kvproxy.documents.library.document_info import Verification
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.errors import DocumentNotFound
from kvproxy.manifests.manifest import MANIFEST_TYP, ManifestPolicy, token_ids_sha256
from kvproxy.manifests.manifest_claims import manifest_claims
from kvproxy.manifests.version_manifests import VersionManifests, verified_of
from kvproxy.receipts.canonical_jws import canonical, verify_claims
from tests.document_files.hosts import ALICE, BOB, TEXT, Host, open_host

FOUND = Verification(
    document="handbook@1",
    framing="system",
    exact=True,
    note="",
    pages=3,
    equal_pages=3,
    positions=700,
    equal_positions=700,
    largest_difference=0.0,
)


def manifests_of(host: Host) -> VersionManifests:
    assert host.publisher.manifests is not None
    return host.publisher.manifests


async def test_a_version_has_one_when_its_publish_returns(importer: Host) -> None:
    ref = await importer.publish()
    jws = importer.registry.manifest(DocumentRef("handbook", ref.version, ALICE.scope))
    assert jws is not None
    signed = await manifests_of(importer).visible(ref, ALICE)
    assert signed.jws == jws, "made then, and not made again"
    claims = verify_claims(jws, MANIFEST_TYP, importer.keys.jwks()).claims
    assert claims == json.loads(canonical(manifest_claims(signed.manifest)))
    manifest = signed.manifest
    assert (manifest.host, manifest.document.id, manifest.document.version) == ("b.example", "handbook", 1)
    assert (manifest.document.bytes, manifest.document.characters) == (len(TEXT.encode()), len(TEXT))
    assert manifest.engine.fingerprint == importer.model.fingerprint
    assert dict(manifest.engine.identity) == dict(importer.model.identity)
    holding = importer.publisher.holding(DocumentRef("handbook", 1, ALICE.scope))
    for framing, kept in zip(
        manifest.framings, sorted(holding.framings, key=lambda f: f.framing), strict=True
    ):
        assert framing.token_ids_sha256 == token_ids_sha256(kept.kept.token_ids)
        for page, stored in zip(framing.pages, kept.kept.pages, strict=True):
            digest = importer.store.digest(stored_key(stored.key, holding.scope))
            assert digest is not None and page.digest == digest.hex()
    assert "tenant:" not in str(claims), "no scope is told"


async def test_others_do_not_see_it(importer: Host) -> None:
    ref = await importer.publish()
    with pytest.raises(DocumentNotFound):
        await manifests_of(importer).visible(ref, BOB)


async def test_a_verification_is_signed_and_stays_until_a_page_changes(importer: Host) -> None:
    ref = replace(await importer.publish(), owner=ALICE.scope)
    manifests = manifests_of(importer)
    before = await manifests.current(ref)
    await manifests.note_verified(ref, [FOUND, replace(FOUND, framing="user", largest_difference=0.5)])
    after = await manifests.current(ref)
    assert after.jws != before.jws and after.manifest.document == before.manifest.document
    verified = after.manifest.verified
    assert verified is not None and verified.exact and verified.framings == 2
    assert (verified.pages, verified.positions, verified.largest_difference) == (6, 1400, "0.5")
    assert (await manifests.current(ref)).jws == after.jws
    # One page is lost: its digest is still the signed one. Another one comes in its place: it is not.
    holding = importer.publisher.holding(ref)
    page = holding.framings[0].kept.pages[0]
    key = stored_key(page.key, holding.scope)
    record = importer.store.record(key)
    assert record is not None
    importer.store.delete([key])
    assert (await manifests.current(ref)).jws == after.jws
    payload = bytes(record.payload_bytes)
    importer.store.put(key, record.parent, record.token_ids, payload)
    changed = (await manifests.current(ref)).manifest
    assert changed.verified is None and changed.digests != after.manifest.digests


async def test_terms_that_change_are_signed_again(importer: Host) -> None:
    ref = replace(await importer.publish(), owner=ALICE.scope)
    manifests = manifests_of(importer)
    before = await manifests.current(ref)
    policy = ManifestPolicy("private", None, "Answers may be published.")
    changed = VersionManifests(
        replace(manifests.issuer, policies=lambda known, publisher: policy),
        importer.library,
        importer.publisher._holdings,
        importer.registry,
    )
    after = await changed.current(ref)
    assert after.manifest.policy.licence == policy.licence
    assert after.jws != before.jws and importer.registry.manifest(ref) == after.jws
    assert importer.keys.verify(after.jws, MANIFEST_TYP)["policy"]["licence"] == policy.licence


async def test_a_row_that_was_tampered_with_is_made_anew(importer: Host) -> None:
    ref = replace(await importer.publish(), owner=ALICE.scope)
    sound = (await manifests_of(importer).current(ref)).manifest
    for wrong in ("x", "e30.e30.e30", importer.keys.sign({"format": "other"}, MANIFEST_TYP)):
        importer.registry.put_manifest(ref, wrong)
        again = await manifests_of(importer).current(ref)
        assert replace(again.manifest, signed_at=sound.signed_at) == sound


async def test_a_fleet_gets_the_first_manifest_of_a_version(importer: Host) -> None:
    shared: list[tuple[str, str]] = []
    issuer = replace(
        manifests_of(importer).issuer, share=lambda document, jws: shared.append((document.id, jws))
    )
    importer.publisher.manifests = VersionManifests(
        issuer, importer.library, importer.publisher._holdings, importer.registry
    )
    ref = replace(await importer.publish(), owner=ALICE.scope)
    await manifests_of(importer).note_verified(ref, [FOUND])
    assert len(shared) == 1 and shared[0][0] == "handbook"


async def test_it_is_gone_with_its_version(importer: Host) -> None:
    ref = replace(await importer.publish(), owner=ALICE.scope)
    await importer.publisher.delete(DocumentRef("handbook"), ALICE)
    assert importer.registry.manifest(ref) is None
    with pytest.raises(DocumentNotFound):
        await manifests_of(importer).current(ref)
    await manifests_of(importer).renew(ref)
    assert importer.registry.manifest(ref) is None


async def test_it_survives_a_restart_with_what_was_measured(
    small: TileModel, texts: Path, tmp_path: Path
) -> None:
    async with open_host(tmp_path / "b", "b.example", small, texts) as host:
        ref = replace(await host.publish(), owner=ALICE.scope)
        await manifests_of(host).note_verified(ref, [FOUND])
        before = await manifests_of(host).current(ref)
    async with open_host(tmp_path / "b", "b.example", small, texts) as host:
        await host.publisher.restore()
        assert await manifests_of(host).current(ref) == before


def test_a_verification_that_compared_nothing_is_no_record() -> None:
    assert verified_of([]) is None
    assert verified_of([FOUND, replace(FOUND, note="no page of this prompt is kept")]) is None
    wrong = verified_of([FOUND, replace(FOUND, exact=False, largest_difference=None)])
    assert wrong is not None and not wrong.exact and wrong.largest_difference == ""
