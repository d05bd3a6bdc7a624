"""Hosts with a small engine, a store and a publisher of their own, between which files travel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from blake3 import blake3
from transformers import LlamaConfig, LlamaForCausalLM

from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.core import Caller, DocumentRef
from kvproxy.document_files.document_export import DocumentExporter
from kvproxy.document_files.document_import import DocumentImporter, Imported, ImportWish
from kvproxy.document_files.file_sections import (
    END,
    HEAD_BYTES,
    MAGIC,
    MANIFEST,
    PAGE,
    parse_head,
    section_head,
)
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel, from_module
from kvproxy.manifests.manifest import MANIFEST_TYP, ManifestEngine, ManifestPolicy
from kvproxy.manifests.trusted_hosts import TrustedHost, TrustedHosts
from kvproxy.manifests.version_manifests import ManifestIssuer, SignedManifest
from kvproxy.publish import Publisher
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.store import page_record
from kvproxy.store.page_store import PageStore
from kvproxy.store.page_transfer import PageTransfer
from tests.documents.models import TEXTS
from tests.documents.registry.own_registry import OwnRegistry
from tests.engine.harness import EngineHarness, make_harness
from tests.engine.tiny import in_turn, on_device

ALICE, BOB = Caller("alice", "tenant:alice"), Caller("bob", "tenant:bob")
TEXT = (TEXTS / "apache-2.0.txt").read_text(encoding="utf-8")[:3500].strip()
OTHER = (TEXTS / "apache-2.0.txt").read_text(encoding="utf-8")[3600:5200].strip()
FRAMINGS = (Framing("system"), Framing("user"))


def small_model(name: str = "small", *, seed: int = 7) -> TileModel:
    """A model with a vocabulary that takes the texts of these tests."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=2048,
        num_hidden_layers=2,
        max_position_embeddings=2048,
        intermediate_size=100,
        initializer_range=0.2,
        hidden_size=48,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=16,
    )
    model = from_module(on_device(LlamaForCausalLM(config), dtype=torch.bfloat16), name)
    in_turn(model)
    return model


@dataclass
class Host:
    """One host: all of it in memory but its store."""

    name: str
    folder: Path
    model: TileModel
    store: PageStore
    rig: EngineHarness
    local: EmbeddedBackend
    library: Library
    registry: OwnRegistry
    publisher: Publisher
    keys: HostKeys
    transfer: PageTransfer
    exporter: DocumentExporter
    composer: Composer

    def importer(
        self,
        *trusted: TrustedHost,
        share: float = 0.1,
        seed: int = 1,
        identity: Mapping[str, str] | None = None,
    ) -> DocumentImporter:
        return DocumentImporter(
            publisher=self.publisher,
            local=self.local,
            transfer=self.transfer,
            hosts=TrustedHosts(self.name, self.keys.jwks, trusted),
            identity=self.model.identity if identity is None else identity,
            share=share,
            most_page=2**20,
            max_text=100_000,
            random=Random(seed),
        )

    async def manifest(self, id: str = "handbook", caller: Caller = BOB) -> SignedManifest:
        assert self.publisher.manifests is not None
        return await self.publisher.manifests.visible(DocumentRef(id), caller)

    async def publish(self, id: str = "handbook", text: str = TEXT, caller: Caller = ALICE) -> DocumentRef:
        published = await self.publisher.publish(id, text, "private", caller)
        return DocumentRef(id, published.info.version)

    async def export(self, ref: DocumentRef, caller: Caller = ALICE) -> bytes:
        exported = await self.exporter.open(ref, caller)
        return b"".join([piece async for piece in exported.content])

    async def take(
        self,
        file: bytes,
        *trusted: TrustedHost,
        wish: ImportWish | None = None,
        caller: Caller = BOB,
        **more: Any,
    ) -> Imported:
        wish = wish or ImportWish(visibility="private")
        return await self.importer(*trusted, **more).take_in(chunks_of(file), wish, caller)

    def trusting(self, *, name: str | None = None) -> TrustedHost:
        """This host as another one trusts it."""
        file = self.folder / "jwks.json"
        file.write_text(json.dumps(self.keys.jwks()))
        return TrustedHost(name or self.name, file)


@asynccontextmanager
async def open_host(
    folder: Path, name: str, model: TileModel, texts: Path, framings: tuple[Framing, ...] = FRAMINGS
) -> AsyncIterator[Host]:
    """A host on a folder; ``texts`` has its tokenizer and template. Every page is audited at the end."""
    host = await asyncio.to_thread(_opened, folder, name, model, texts, framings)
    try:
        yield host
        assert await host.local.check() == []
    finally:
        faults = await asyncio.to_thread(_closed, host)
    assert faults == []


def _opened(folder: Path, name: str, model: TileModel, texts: Path, framings: tuple[Framing, ...]) -> Host:
    keys, library = HostKeys.open(folder), Library()
    composer = Composer(Tokenizer.load(texts), ChatTemplate.load(texts), library, framings)
    store = PageStore(folder, max_size=2**26, fingerprint=model.fingerprint, form=model.page_shape.form)
    rig = make_harness(model, Vocabulary(texts), pages=64, max_context=2048, store=store)
    local, transfer, registry = (
        EmbeddedBackend(rig.engine, "tiny", store),
        PageTransfer(store),
        OwnRegistry(folder),
    )
    issuer = ManifestIssuer(
        host=name,
        keys=keys,
        engine=ManifestEngine("tiny", model.fingerprint, dict(model.identity)),
        pages=transfer,
        policies=lambda known, _: ManifestPolicy(known.document.visibility, None, ""),
    )
    publisher = Publisher(composer=composer, library=library, registry=registry, local=local, issuer=issuer)
    assert publisher.manifests is not None
    exporter = DocumentExporter(publisher, publisher.manifests, transfer)
    return Host(
        name,
        folder,
        model,
        store,
        rig,
        local,
        library,
        registry,
        publisher,
        keys,
        transfer,
        exporter,
        composer,
    )


def _closed(host: Host) -> list[str]:
    """Close a host; every fault of its store."""
    host.rig.close()
    host.registry.close()
    faults = host.store.check()
    host.store.close()
    return faults


async def chunks_of(file: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(file), size):
        yield file[at : at + size]


def sections(file: bytes) -> list[tuple[bytes, bytes]]:
    """The sections of a sound file."""
    found, at = [], len(MAGIC)
    while at < len(file):
        tag, length = parse_head(file[at : at + HEAD_BYTES])
        at += HEAD_BYTES
        found.append((tag, file[at : at + length]))
        at += length
    return found


def joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    """A file of these sections, with a right digest at its end."""
    body = MAGIC + b"".join(section_head(tag, len(c)) + c for tag, c in parts if tag != END)
    return body + section_head(END, 32) + blake3(body).digest()


@dataclass(frozen=True)
class Exported:
    """A file that a host has exported, and that host's keys."""

    file: bytes
    keys: HostKeys
    jwks: Path

    @property
    def trusted(self) -> TrustedHost:
        """The host as another one trusts it."""
        return TrustedHost("a.example", self.jwks)

    @property
    def claims(self) -> dict[str, Any]:
        """The claims of its manifest, to change."""
        return self.keys.verify(sections(self.file)[0][1].decode(), MANIFEST_TYP)

    def changed(self, claims: dict[str, Any], parts: list[tuple[bytes, bytes]] | None = None) -> bytes:
        """The file with other claims, signed by the host itself, and other sections behind them."""
        jws = self.keys.sign(claims, MANIFEST_TYP).encode()
        return joined([(MANIFEST, jws), *(parts or sections(self.file)[1:])])


def export_once(folder: Path, model: TileModel, texts: Path) -> Exported:
    """Publish and export ``TEXT`` on a host that is gone then."""

    async def run() -> Exported:
        async with open_host(folder, "a.example", model, texts) as host:
            file = await host.export(await host.publish())
            host.trusting()
            return Exported(file, host.keys, folder / "jwks.json")

    return asyncio.run(run())


def poisoned(exported: Exported, framing: int, index: int, *, frame: int = -1, change: int = 1) -> bytes:
    """The file with one value of one page changed, every digest made right, signed by its own host.

    ``frame``: the one that the last value is changed in, by an exclusive or of its upper byte, or its lowest bit.
    """
    claims, parts = exported.claims, sections(exported.file)
    place = 2 + sum(len(f["pages"]) for f in claims["framings"][:framing]) + index
    page = bytearray(parts[place][1])
    length = page_record.header_length(bytes(page[:4096]))
    assert isinstance(length, int)
    record = page_record.decode(bytes(page[:length]))
    assert isinstance(record, page_record.PageRecord)
    start, digests = len(page) - record.payload_bytes, []
    changed = frame % len(record.frames)
    page[start + sum(record.frames[: changed + 1]) - (2 if change == 1 else 1)] ^= change
    for size in record.frames:
        digests.append(page_record.frame_digest(bytes(page[start : start + size])))
        start += size
    record = replace(record, digests=tuple(digests))
    page[: len(page) - record.payload_bytes] = page_record.encode(record)
    claims["framings"][framing]["pages"][index]["digest"] = record.digest.hex()
    parts[place] = (PAGE, bytes(page))
    return exported.changed(claims, parts[1:])


def nothing_is_left(host: Host) -> None:
    """No version, no page on disk or in memory, and no row."""
    assert len(host.library) == 0
    assert host.store.usage().pages == 0
    assert host.registry.load() == []
    occupancy = host.local.occupancy()
    assert (occupancy.nodes, occupancy.held) == (0, 0)
