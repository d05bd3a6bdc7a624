"""The way out of a document, and what stops it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.core import DocumentRef, stored_key
from kvproxy.document_files.file_sections import END, MANIFEST, PAGE, TEXT
from kvproxy.errors import DocumentNotFound, DocumentRejected, PermissionDenied, Unavailable
from kvproxy.manifests.manifest import MANIFEST_TYP
from tests.document_files.hosts import ALICE, BOB, Host, sections
from tests.document_files.hosts import TEXT as HANDBOOK


async def test_a_file_has_the_kept_manifest_the_text_and_every_page(importer: Host) -> None:
    ref = await importer.publish()
    file = await importer.export(ref)
    parts = sections(file)
    assert [tag for tag, _ in parts] == [MANIFEST, TEXT, *[PAGE] * 6, END]
    signed = await importer.manifest(caller=ALICE)
    assert parts[0][1].decode() == signed.jws and parts[1][1].decode() == HANDBOOK
    holding = importer.publisher.holding(replace(ref, owner=ALICE.scope))
    stored = [
        importer.store.read_file(stored_key(page.key, holding.scope))
        for framing in sorted(holding.framings, key=lambda f: f.framing)
        for page in framing.kept.pages
    ]
    assert [content for tag, content in parts if tag == PAGE] == stored
    assert await importer.export(ref) == file, "the same again"


async def test_only_its_publisher_may_export_a_version(importer: Host) -> None:
    await importer.publisher.publish("handbook", HANDBOOK, "public", ALICE)
    with pytest.raises(PermissionDenied):
        await importer.export(DocumentRef("handbook"), BOB)
    private = await importer.publish("mine")
    with pytest.raises(DocumentNotFound):
        await importer.export(private, BOB)


async def test_pages_that_are_not_on_disk_are_computed_first(importer: Host) -> None:
    ref = await importer.publish()
    before = await importer.export(ref)
    holding = importer.publisher.holding(replace(ref, owner=ALICE.scope))
    kept = holding.framings[0].kept
    await importer.local.forget(kept, holding.scope, frozenset())
    assert importer.store.usage().pages == 3
    assert await importer.export(ref) == before and importer.store.usage().pages == 6


async def test_a_version_in_quarantine_does_not_travel(importer: Host) -> None:
    ref = replace(await importer.publish(), owner=ALICE.scope)
    await importer.publisher.quarantine.confine({ref: "page 0 differs"})
    with pytest.raises(DocumentRejected, match="is in quarantine"):
        await importer.export(DocumentRef("handbook"))


async def test_a_page_that_goes_meanwhile_cuts_the_file_short(importer: Host) -> None:
    ref = await importer.publish()
    exported = await importer.exporter.open(ref, ALICE)
    holding = importer.publisher.holding(replace(ref, owner=ALICE.scope))
    last = sorted(holding.framings, key=lambda f: f.framing)[-1].kept.pages[-1]
    importer.store.delete([stored_key(last.key, holding.scope)])
    sent = b""
    with pytest.raises(Unavailable, match="not on disk now"):
        async for piece in exported.content:
            sent += piece
    assert sent and END not in [sent[-44:-40]], "it has no end, which every importer asks for"
    assert importer.keys.verify(sections(sent)[0][1].decode(), MANIFEST_TYP)
