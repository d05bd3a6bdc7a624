"""Imports: the files that are taken, and versions that came in as they serve."""

from __future__ import annotations

from pathlib import Path

from kvproxy.core import DocumentRef, Prompt
from kvproxy.document_files.document_import import ImportWish
from kvproxy.engine.forward.tile_model import TileModel
from tests.document_files.hosts import (
    BOB,
    Exported,
    Host,
    open_host,
    small_model,
)
from tests.document_files.hosts import (
    TEXT as HANDBOOK,
)
from tests.document_files.refusals import prefix, read, refused


async def test_an_exported_version_is_taken_in_with_its_pages(importer: Host, exported: Exported) -> None:
    imported = await importer.take(exported.file, exported.trusted)
    assert (imported.note, imported.pages, imported.published.prefill_s) == ("", 6, 0.0)
    # The last page of each framing, and one before it.
    assert imported.checked == 4
    info = imported.published.info
    assert (info.id, info.version, info.visibility) == ("handbook", 1, "private")
    assert await importer.publisher.text(DocumentRef("handbook"), BOB) == HANDBOOK
    signed = await importer.manifest()
    assert signed.manifest.host == "b.example" and signed.manifest.document.origin == "imported"
    assert signed.manifest.source is not None and signed.manifest.source.host == "a.example"
    # Bit for bit what the other host has, under this host's own signature.
    theirs = {p["key"]: p["digest"] for f in exported.claims["framings"] for p in f["pages"]}
    assert dict(signed.manifest.digests) == theirs
    assert importer.store.usage().pages == 6, "nothing is staged any more"
    again = await importer.take(exported.file, exported.trusted)
    assert not again.published.created and importer.store.usage().pages == 6


async def test_the_first_read_is_a_hit_and_equals_a_miss(
    importer: Host, exported: Exported, small: TileModel, texts: Path, tmp_path: Path
) -> None:
    await importer.take(exported.file, exported.trusted)
    ids = prefix(importer)
    cached, text = await read(importer, ids)
    assert cached == len(ids)
    async with open_host(tmp_path / "cold", "c.example", small, texts) as cold:
        assert await read(cold, ids) == (0, text)
    comparison = await importer.local.compare(Prompt((*ids, 5, 6, 7)), BOB, 8)
    assert comparison.exact and comparison.pages == 3


async def test_an_imported_version_survives_a_restart(
    exported: Exported, small: TileModel, texts: Path, tmp_path: Path
) -> None:
    async with open_host(tmp_path / "b", "b.example", small, texts) as host:
        await host.take(exported.file, exported.trusted)
    async with open_host(tmp_path / "b", "b.example", small, texts) as host:
        await host.publisher.restore()
        assert (await read(host, prefix(host)))[0] == len(prefix(host))
        signed = await host.manifest()
        assert signed.manifest.document.origin == "imported" and signed.manifest.source is not None


async def test_another_id_and_visibility_are_the_importers(importer: Host, exported: Exported) -> None:
    wish = ImportWish("guide/rules", "public")
    imported = await importer.take(exported.file, exported.trusted, wish=wish)
    assert (imported.published.info.id, imported.published.info.visibility) == ("guide/rules", "public")
    assert imported.pages == 6 and imported.published.prefill_s == 0.0


async def test_the_text_alone_is_taken_where_the_engines_differ(
    exported: Exported, texts: Path, tmp_path: Path
) -> None:
    async with open_host(tmp_path / "b", "b.example", small_model("other", seed=8), texts) as host:
        message = await refused(host, exported.file, exported)
        assert "computed by an engine with other bits" in message
        assert "model: memory:small" in message and "results: " in message and "dtype" not in message
        imported = await host.take(exported.file, exported.trusted)
        assert imported.pages == 0 and imported.published.prefill_s > 0 and imported.note == message
        assert (await host.manifest()).manifest.source is not None


async def test_the_text_alone_is_taken_on_request(importer: Host, exported: Exported) -> None:
    imported = await importer.take(
        exported.file, exported.trusted, wish=ImportWish(visibility="private", pages="none")
    )
    assert imported.pages == imported.checked == 0 and imported.published.prefill_s > 0
