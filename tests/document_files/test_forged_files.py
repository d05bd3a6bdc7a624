"""Signatures that are forged, and those of something else. Whatever is refused leaves nothing behind."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kvproxy.core import DocumentRef
from kvproxy.document_files.document_import import ImportWish
from kvproxy.document_files.file_sections import MANIFEST, TEXT
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.errors import DocumentRejected, SignatureRefused
from kvproxy.manifests.manifest import MANIFEST_TYP
from kvproxy.manifests.trusted_hosts import TrustedHost
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.receipt_claims import RECEIPT_TYP
from tests.document_files.hosts import (
    BOB,
    OTHER,
    Exported,
    Host,
    joined,
    nothing_is_left,
    open_host,
    sections,
)
from tests.document_files.hosts import (
    TEXT as HANDBOOK,
)
from tests.document_files.refusals import REQUIRED, refused


async def test_a_host_that_is_not_trusted_is_refused(importer: Host, exported: Exported) -> None:
    with pytest.raises(SignatureRefused, match=r"of the host 'a\.example', which is not trusted here"):
        await importer.take(exported.file)
    nothing_is_left(importer)
    given = ImportWish(visibility="private", jwks=exported.keys.jwks())
    assert (await importer.take(exported.file, wish=given)).pages == 6


async def test_a_host_takes_its_own_exports_back(importer: Host) -> None:
    ref = await importer.publish(caller=BOB)
    file = await importer.export(ref, BOB)
    await importer.publisher.delete(DocumentRef("handbook"), BOB)
    imported = await importer.take(file)
    assert (imported.pages, imported.published.info.version) == (6, 2)


async def test_forged_signatures_are_refused(importer: Host, exported: Exported, tmp_path: Path) -> None:
    claims, rest = exported.claims, sections(exported.file)[1:]
    jws = sections(exported.file)[0][1].decode()
    head, payload, signature = jws.split(".")

    def file(forged: str) -> bytes:
        return joined([(MANIFEST, forged.encode()), *rest])

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    other = HostKeys.open(tmp_path / "other")
    stranger = other.sign(claims, MANIFEST_TYP)
    assert "is not among the host's keys" in await refused(importer, file(stranger), exported)
    # Another key under the name of the trusted one.
    kid = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
    renamed = part({"alg": "Ed25519", "kid": kid, "typ": MANIFEST_TYP})
    forged = f"{renamed}.{stranger.split('.')[1]}.{stranger.split('.')[2]}"
    assert "signature is not the host's" in await refused(importer, file(forged), exported)
    # No algorithm, and another one.
    for header in ({"alg": "none"}, {"alg": "HS256"}, {"alg": "EdDSA"}):
        none = part({**header, "kid": kid, "typ": MANIFEST_TYP})
        for sealed in ("", signature):
            message = await refused(importer, file(f"{none}.{payload}.{sealed}"), exported)
            assert "no compact JWS with alg Ed25519" in message
    # A payload that was changed, and one that is not canonical.
    cheaper = part({**claims, "iat": claims["iat"] + 1})
    assert "signature" in await refused(importer, file(f"{head}.{cheaper}.{signature}"), exported)
    # A receipt of the same key, and a manifest that says it is one.
    receipt = exported.keys.sign(claims, RECEIPT_TYP)
    assert "of the type 'kvproxy-receipt+jws'" in await refused(importer, file(receipt), exported)
    with pytest.raises(SignatureRefused, match="of the type"):
        exported.keys.verify(jws, RECEIPT_TYP)
    assert "not trusted" in await refused(importer, file("e30"), exported)


async def test_a_valid_signature_of_something_else_is_refused(
    importer: Host, exported: Exported, small: TileModel, texts: Path, tmp_path: Path
) -> None:
    """Replays: a manifest is good for its own text, version, pages and host, and nothing else."""
    async with open_host(tmp_path / "c", "c.example", small, texts) as c:
        other = await c.export(await c.publish("guide", OTHER))
        theirs = c.trusting()
    ours, others = sections(exported.file), sections(other)
    both = TrustedHost("c.example", theirs.jwks)

    async def message(parts: list[tuple[bytes, bytes]]) -> str:
        with pytest.raises((DocumentRejected, SignatureRefused)) as caught:
            await importer.take(joined(parts), exported.trusted, both, wish=REQUIRED)
        nothing_is_left(importer)
        return caught.value.message

    # The manifest of one document before the text of another one, of the same length or not.
    assert "text has" in await message([ours[0], *others[1:]])
    swapped = bytes(reversed(HANDBOOK.encode()))
    assert "not the one that its manifest" in await message([ours[0], (TEXT, swapped), *ours[2:]])
    # Pages of another document, and its own in another order.
    assert "digest" in await message([*ours[:2], *others[2:4], *ours[4:]])
    assert "is refused" in await message([*ours[:2], ours[3], ours[2], *ours[4:]])
    # A key speaks for its own host alone.
    claims = exported.claims
    claims["iss"] = "c.example"
    with pytest.raises(SignatureRefused, match="not among the host's keys"):
        await importer.take(exported.changed(claims), exported.trusted, both)
    nothing_is_left(importer)


async def test_a_manifest_that_says_more_or_less_than_a_manifest_is_refused(
    importer: Host, exported: Exported
) -> None:
    def with_claims(**changes: Any) -> bytes:
        return exported.changed({**exported.claims, **changes})

    assert "format" in await refused(importer, with_claims(format="kvproxy-manifest/2"), exported)
    assert "manifest.more is no member" in await refused(importer, with_claims(more=1), exported)
    for path in ("../../etc/passwd", "/etc/passwd", "a/../b", "a\x00b", "", "C:\\x", "a" * 200):
        document = {**exported.claims["document"], "id": path}
        assert "manifest.document.id" in await refused(importer, with_claims(document=document), exported)
    framings = exported.claims["framings"]
    assert "names one framing twice" in await refused(
        importer, with_claims(framings=[framings[0], framings[0]]), exported
    )
    evil = {**framings[0], "name": "../system"}
    assert "framings[0].name" in await refused(importer, with_claims(framings=[evil]), exported)
    huge = {**framings[0], "pages": [{**p, "bytes": 2**52} for p in framings[0]["pages"]]}
    assert "bytes, and one of this model has at most" in await refused(
        importer, with_claims(framings=[huge, framings[1]]), exported
    )
    document = {**exported.claims["document"], "bytes": 2**40}
    assert "at most 100000 are accepted" in await refused(importer, with_claims(document=document), exported)
