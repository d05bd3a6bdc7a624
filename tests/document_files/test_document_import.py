"""What an import takes, and what it refuses. Whatever is refused leaves nothing behind."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvproxy.backends.base import Generation
from kvproxy.core import DocumentRef, Prompt, Sampling
from kvproxy.document_files.document_import import ImportWish
from kvproxy.document_files.file_sections import END, MAGIC, MANIFEST, PAGE, TEXT, section_head
from kvproxy.document_files.page_sample import page_sample
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.errors import DocumentRejected, KVProxyError, SignatureRefused
from kvproxy.events import Started, TextDelta
from kvproxy.manifests.manifest import MANIFEST_TYP
from kvproxy.manifests.trusted_hosts import TrustedHost
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.receipt_claims import RECEIPT_TYP
from tests.document_files.hosts import (
    BOB,
    OTHER,
    Exported,
    Host,
    chunks_of,
    joined,
    nothing_is_left,
    open_host,
    poisoned,
    sections,
    small_model,
)
from tests.document_files.hosts import (
    TEXT as HANDBOOK,
)

PRIVATE = ImportWish(visibility="private")
REQUIRED = ImportWish(visibility="private", pages="required")


async def refused(host: Host, file: bytes, exported: Exported, wish: ImportWish = REQUIRED) -> str:
    """The reason why a file is refused, which leaves nothing behind."""
    with pytest.raises(KVProxyError) as caught:
        await host.take(file, exported.trusted, wish=wish)
    assert isinstance(caught.value, DocumentRejected | SignatureRefused), caught.value
    nothing_is_left(host)
    return caught.value.message


async def read(host: Host, token_ids: tuple[int, ...]) -> tuple[int, str]:
    """The cached tokens of a question behind these tokens, and the answer."""
    generation = Generation("q", Prompt((*token_ids, 5, 6, 7)), Sampling(temperature=0.0, max_tokens=8), BOB)
    cached, text = 0, ""
    async for event in host.local.generate(generation):
        if isinstance(event, Started):
            cached = event.cached_tokens
        if isinstance(event, TextDelta):
            text += event.text
    return cached, text


def prefix(host: Host) -> tuple[int, ...]:
    """The tokens of the imported handbook's first framing."""
    return host.publisher.holding(DocumentRef("handbook", 1, BOB.scope)).framings[0].kept.token_ids


async def test_an_exported_version_is_taken_in_with_its_pages(importer: Host, exported: Exported) -> None:
    imported = await importer.take(exported.file, exported.trusted)
    assert (imported.note, imported.pages, imported.published.prefill_s) == ("", 6, 0.0)
    # The last page of each framing, and one before it.
    assert imported.checked == 4
    info = imported.published.info
    assert (info.id, info.version, info.visibility) == ("handbook", 1, "private")
    assert await importer.publisher.text(DocumentRef("handbook"), BOB) == HANDBOOK
    signed = await importer.publisher.manifest(DocumentRef("handbook"), BOB)
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
        signed = await host.publisher.manifest(DocumentRef("handbook"), BOB)
        assert signed.manifest.document.origin == "imported" and signed.manifest.source is not None


async def test_another_id_and_visibility_are_the_importers(importer: Host, exported: Exported) -> None:
    wish = ImportWish("guide/rules", "public")
    imported = await importer.take(exported.file, exported.trusted, wish=wish)
    assert (imported.published.info.id, imported.published.info.visibility) == ("guide/rules", "public")
    assert imported.pages == 6 and imported.published.prefill_s == 0.0


@pytest.mark.parametrize(("framing", "index"), [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)])
async def test_a_poisoned_page_in_the_sample_is_refused_and_named(
    importer: Host, exported: Exported, framing: int, index: int
) -> None:
    """The lowest bit of one value of the last layer, with right digests, signed by a host that is trusted."""
    file, name = poisoned(exported, framing, index), exported.claims["framings"][framing]["name"]
    with pytest.raises(DocumentRejected, match=f"Page {index} of framing '{name}' has other bits than"):
        await importer.take(file, exported.trusted, share=1.0)
    nothing_is_left(importer)


@pytest.mark.parametrize("index", [0, 1])
async def test_a_poisoned_page_outside_of_the_sample_is_found_by_the_last_one(
    importer: Host, exported: Exported, index: int
) -> None:
    """A key of the first layer is in the values of every later page. It is named, and not what follows from it."""
    file = poisoned(exported, 0, index, frame=0, change=0x40)
    for seed in range(4):  # whichever page is chosen before the last
        with pytest.raises(DocumentRejected, match=f"Page {index} of framing 'system' has other bits"):
            await importer.take(file, exported.trusted, share=0.0, seed=seed)
    nothing_is_left(importer)


async def test_what_no_sample_found_is_found_afterwards_and_confined(
    importer: Host, exported: Exported, caplog: pytest.LogCaptureFixture
) -> None:
    """The last layer of a page is in no other page: only computing the page itself again shows it."""
    file = poisoned(exported, 0, 1)
    taking = importer.importer(exported.trusted, share=0.0, seed=unlucky(exported, 0, 1))
    imported = await taking.take_in(chunks_of(file), PRIVATE, BOB)
    assert (imported.pages, imported.checked) == (6, 4)
    ref = DocumentRef("handbook", 1, BOB.scope)
    task = asyncio.create_task(taking.later.run())
    for _ in range(200):
        known = importer.library.find(ref)
        if known is not None and known.quarantined:
            break
        await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.wait([task])
    assert known is not None and known.quarantined is not None
    assert known.quarantined.startswith("page 1 differs from a prefill from position 511 on")
    assert "was imported with a wrong page" in caplog.text
    assert importer.store.usage().pages == 0, "its pages are dropped, and its readers are prefilled"


async def test_the_rest_of_the_pages_is_checked_afterwards_and_after_a_restart(
    exported: Exported, small: TileModel, texts: Path, tmp_path: Path
) -> None:
    async with open_host(tmp_path / "b", "b.example", small, texts) as host:
        await host.take(exported.file, exported.trusted)
        signed = await host.publisher.manifest(DocumentRef("handbook"), BOB)
        assert signed.manifest.source is not None
        assert (signed.manifest.source.pages, signed.manifest.source.checked) == (6, 4)
    async with open_host(tmp_path / "b", "b.example", small, texts) as host:
        await host.publisher.restore()
        task = asyncio.create_task(host.importer(exported.trusted).later.run())
        for _ in range(200):
            signed = await host.publisher.manifest(DocumentRef("handbook"), BOB)
            if signed.manifest.source is not None and signed.manifest.source.checked == 6:
                break
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
    assert signed.manifest.source is not None and signed.manifest.source.checked == 6


def unlucky(exported: Exported, framing: int, index: int) -> int:
    """A seed of the sample that leaves a page out."""
    lengths = [len(f["pages"]) for f in exported.claims["framings"]]
    for seed in range(100):
        random = Random(seed)
        if index not in [page_sample(n, 0.0, random) for n in lengths][framing]:
            return seed
    raise AssertionError("no such seed")


async def test_wrong_pages_of_another_text_reach_no_reader_of_it(importer: Host, exported: Exported) -> None:
    """A page of this host's own is never replaced by one of a file, whether that is right or not."""
    own = await importer.publisher.publish("own", HANDBOOK, "public", BOB)
    before = await importer.publisher.manifest(DocumentRef("own"), BOB)
    with pytest.raises(DocumentRejected, match="Page 0"):
        wish = ImportWish("theirs", "public")
        await importer.take(poisoned(exported, 0, 0), exported.trusted, wish=wish, share=1.0)
    after = await importer.publisher.manifest(DocumentRef("own"), BOB)
    assert own.created and after.jws == before.jws
    assert importer.store.usage().pages == 6


async def test_the_text_alone_is_taken_where_the_engines_differ(
    exported: Exported, texts: Path, tmp_path: Path
) -> None:
    async with open_host(tmp_path / "b", "b.example", small_model("other", seed=8), texts) as host:
        message = await refused(host, exported.file, exported)
        assert "computed by an engine with other bits" in message
        assert "model: memory:small" in message and "results: " in message and "dtype" not in message
        imported = await host.take(exported.file, exported.trusted)
        assert imported.pages == 0 and imported.published.prefill_s > 0 and imported.note == message
        assert (await host.publisher.manifest(DocumentRef("handbook"), BOB)).manifest.source is not None


async def test_the_text_alone_is_taken_on_request(importer: Host, exported: Exported) -> None:
    imported = await importer.take(
        exported.file, exported.trusted, wish=ImportWish(visibility="private", pages="none")
    )
    assert imported.pages == imported.checked == 0 and imported.published.prefill_s > 0


async def test_poison_cannot_come_with_the_text_alone(importer: Host, exported: Exported) -> None:
    wish = ImportWish(visibility="private", pages="none")
    await importer.take(poisoned(exported, 0, 1), exported.trusted, wish=wish)
    assert (await importer.local.compare(Prompt((*prefix(importer), 5)), BOB, 1)).exact


# Signatures


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


# Files


async def test_archives_and_pickles_are_refused_unread(
    importer: Host, exported: Exported, tmp_path: Path
) -> None:
    planted = tmp_path / "planted"

    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return Path.touch, (planted,)

    pickled = pickle.dumps(Bomb())
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("../../etc/cron.d/x", "/etc/passwd", "manifest.jws", "manifest.jws"):
            with pytest.warns(UserWarning, match="Duplicate") if name in archive.namelist() else _nothing():
                archive.writestr(name, b"\0" * 10**6)
    with tarfile.open(fileobj=tarred, mode="w") as tar:
        link = tarfile.TarInfo("page")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    for file in (pickled, zipped.getvalue(), tarred.getvalue(), gzip.compress(exported.file), b"", b"KVPX"):
        assert "document file" in await refused(importer, file, exported) or file in (b"", b"KVPX")
    # And in the place of a page, a text or a manifest.
    parts = sections(exported.file)
    page = pickled.ljust(len(parts[2][1]), b"\0")
    assert "not a page file" in await refused(
        importer, joined([*parts[:2], (PAGE, page), *parts[3:]]), exported
    )
    assert "text has" in await refused(importer, joined([parts[0], (TEXT, pickled), *parts[2:]]), exported)
    await refused(importer, joined([(MANIFEST, pickled), *parts[1:]]), exported)
    assert not planted.exists()


async def test_lengths_beyond_what_was_signed_are_refused_before_they_are_read(
    importer: Host, exported: Exported
) -> None:
    """Nothing of a section that announces too much is read, so that a few bytes cannot ask for memory."""
    parts = sections(exported.file)
    jws, text = parts[0][1], parts[1][1]
    opened = MAGIC + section_head(MANIFEST, len(jws)) + jws
    read = opened + section_head(TEXT, len(text)) + text
    for file in (
        MAGIC + section_head(MANIFEST, 2**60),
        MAGIC + section_head(MANIFEST, 0),
        opened + section_head(TEXT, 2**60),
        read + section_head(PAGE, 2**60),
        read + section_head(PAGE, 10),
    ):
        assert "bytes, and must have" in await refused(importer, file, exported)
    with_bomb = gzip.compress(b"\0" * 10**7)
    assert "bytes, and must have" in await refused(
        importer, joined([*parts[:2], (PAGE, with_bomb), *parts[3:]]), exported
    )


async def test_sections_that_are_missing_doubled_or_foreign_are_refused(
    importer: Host, exported: Exported
) -> None:
    parts = sections(exported.file)
    pages = [part for part in parts if part[0] == PAGE]
    for wrong in (
        parts[1:],
        [parts[0], *parts[2:]],
        [*parts[:2], *pages[1:]],
        [*parts[:2], *pages, pages[0]],
        [*parts[:3], pages[0], *pages[1:]],
        [*parts[:2], (b"PKL\n", pages[0][1]), *pages[1:]],
        [parts[1], parts[0], *pages],
    ):
        await refused(importer, joined(wrong), exported)
    assert "goes on behind its end" in await refused(importer, exported.file + b"\0", exported)
    assert "goes on behind" in await refused(importer, exported.file + exported.file, exported)
    assert parts[-1][0] == END


async def test_a_file_that_ends_early_is_refused_wherever_it_ends(importer: Host, exported: Exported) -> None:
    ends, at = [0, 4, len(MAGIC)], len(MAGIC)
    for _, content in sections(exported.file):
        ends += [at + 5, at + 12, at + 12 + len(content) // 2, at + 12 + len(content) - 1]
        at += 12 + len(content)
    for end in ends:
        assert "The file ends inside its" in await refused(importer, exported.file[:end], exported)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bit_of_a_file_can_change(exported: Exported, tmp_path_factory: Any, data: st.DataObject) -> None:
    """Any changed byte is found by the offline check, whatever section it is in."""
    from kvproxy.document_files.file_check import check_file

    at = data.draw(st.integers(0, len(exported.file) - 1))
    file = bytearray(exported.file)
    file[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flipped") / "x.kvdoc"
    path.write_bytes(file)
    with pytest.raises((DocumentRejected, SignatureRefused)):
        asyncio.run(check_file(path, exported.keys.jwks()))


async def test_random_files_are_refused(importer: Host, exported: Exported) -> None:
    """Cut, doubled, shuffled and overwritten pieces of a sound file; some as a host would have joined them."""
    random = Random(5)
    for _ in range(60):
        file = bytearray(exported.file)
        for _ in range(random.randint(1, 3)):
            begin, length = random.randrange(len(file)), random.randint(1, 5000)
            kind = random.randrange(3)
            if kind == 0:
                del file[begin : begin + length]
            elif kind == 1:
                file[begin:begin] = file[begin : begin + length]
            else:
                file[begin : begin + length] = random.randbytes(length)
        if bytes(file) != exported.file:
            await refused(importer, bytes(file), exported)


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(importer: Host, exported: Exported) -> None:
    arrived = asyncio.Event()

    async def stalling() -> Any:
        async for chunk in chunks_of(exported.file[: len(exported.file) // 2]):
            yield chunk
        arrived.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(importer.importer(exported.trusted).take_in(stalling(), PRIVATE, BOB))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    nothing_is_left(importer)


async def test_every_page_is_computed_again_where_that_is_asked_for(
    importer: Host, exported: Exported
) -> None:
    imported = await importer.take(exported.file, exported.trusted, share=1.0)
    assert imported.checked == imported.pages == 6


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()
