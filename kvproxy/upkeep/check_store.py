"""`check_store`: every part of a store against its checksums and against the others; nothing is changed.

It reads files and rows by itself, without their locks, so that it serves a store that nobody uses as well as one that
a proxy is writing.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from kvproxy.core import stored_key
from kvproxy.documents.prepared.prepared_texts import damaged_texts
from kvproxy.documents.registry.registry_losses import damage_reports
from kvproxy.errors import KVProxyError
from kvproxy.manifests.manifest import MANIFEST_TYP, Manifest
from kvproxy.manifests.manifest_claims import parse_manifest
from kvproxy.receipts.canonical_jws import verify_claims
from kvproxy.store.disk import page_name
from kvproxy.store.inspection import Inspected, inspect_pages, inspect_responses
from kvproxy.store.page_record import PageRecord
from kvproxy.store.store_folder import ASIDE, page_files
from kvproxy.upkeep.registry_snapshot import RegistrySnapshot
from kvproxy.upkeep.store_faults import Mending, StoreCheck, StoreFault, StorePart, joined, of_lines

PAGES_READ = 2 * 2**30
"""Bytes of page files that are read where not all are asked for: some seconds. A random choice of a larger store."""

PREPARED_FILE = "prepared.sqlite3"

Snapshot = Callable[[], RegistrySnapshot]


def check_store(
    folder: Path,
    snapshot: Snapshot,
    *,
    deep: bool = False,
    live: bool = False,
    jwks: Mapping[str, object] | None = None,
    elsewhere: frozenset[bytes] = frozenset(),
) -> StoreCheck:
    """Check all parts of a store. Blocking: seconds, or with ``deep`` as long as reading all of its files.

    ``snapshot`` reads the registry. ``live``: a proxy is using it, so that what is being written right now is no
    fault. ``jwks``: the host's public keys, for its manifests' signatures. ``elsewhere``: pages that the object store
    lists, which are missing in no local file.

    Example: ``check_store(store, lambda: read_file_snapshot(store / FILE_NAME), deep=True)``
    """
    registry, found = _registry(snapshot)
    headers: dict[bytes, PageRecord] = {}
    needed = None if registry is None else frozenset(registry.page_owners)
    pages, listed = _pages(folder / "pages", needed, deep=deep, live=live, headers=headers)
    checks = [found, pages]
    if registry is not None:
        checks += [_aliases(registry), _manifests(registry, headers, jwks)]
        if listed is not None:
            checks.append(_belonging(registry, listed, elsewhere))
    checks += [_prepared(folder / PREPARED_FILE), _responses(folder / "responses"), _aside(folder)]
    return joined(checks)


def _registry(snapshot: Snapshot) -> tuple[RegistrySnapshot | None, StoreCheck]:
    try:
        registry = snapshot()
    except (KVProxyError, DBAPIError, sqlite3.Error, OSError) as e:
        what = e.message if isinstance(e, KVProxyError) else str(e)
        fault = StoreFault(StorePart.DATABASE, f"it cannot be read: {what}", "restore a backup")
        return None, StoreCheck((fault,))
    unfinished = [] if registry.unfinished is None else [registry.unfinished]
    cut_short = of_lines(StorePart.DATABASE, unfinished, "drop")
    if registry.broken:
        return None, joined([cut_short, of_lines(StorePart.DATABASE, registry.broken, "rebuild")])
    lost = of_lines(StorePart.DOCUMENTS, registry.faults, "forget with a report")
    return registry, joined([cut_short, lost, StoreCheck((), (), {"documents": len(registry.entries)})])


def _pages(
    folder: Path,
    needed: frozenset[bytes] | None,
    *,
    deep: bool,
    live: bool,
    headers: dict[bytes, PageRecord],
) -> tuple[StoreCheck, frozenset[bytes] | None]:
    """Return the findings about page files, and the keys that the index lists; None where it cannot be trusted."""
    if not folder.is_dir():
        return StoreCheck(()), frozenset()

    def seen(record: PageRecord) -> None:
        headers[record.key] = record

    try:
        found = inspect_pages(folder, None if deep else PAGES_READ, seen)
    except (OSError, sqlite3.Error) as e:
        return StoreCheck((StoreFault(StorePart.PAGES, f"they cannot be read: {e}", "look"),)), None
    faults = [_page_fault(line, found.bad.get(line), needed) for line in found.faults]
    trusted = not any(line.startswith("index: ") for line in found.faults)
    if trusted and not live:  # beside a running proxy, a file may be there before its row
        strays = sorted(set(page_files(folder, own=True)) - {page_name(key) for key in found.listed})
        faults += [StoreFault(StorePart.PAGES, f"file {name} belongs to no page", "drop") for name in strays]
    looked = {"pages": found.count, "pages read": found.verified + len(found.bad)}
    return StoreCheck(tuple(faults), (), looked), found.listed if trusted else None


def _page_fault(line: str, key: bytes | None, needed: frozenset[bytes] | None) -> StoreFault:
    """Return a fault of a file, or of the index: its structure, or a row that this store did not write. A page that no
    document needs is dropped for good; ``needed`` is None where that is not known."""
    if key is not None:
        mending: Mending = "drop" if needed is not None and key not in needed else "drop and recompute"
        return StoreFault(StorePart.PAGES, line, mending, key)
    return StoreFault(StorePart.PAGES, line, "rebuild")


def _belonging(
    registry: RegistrySnapshot, listed: frozenset[bytes], elsewhere: frozenset[bytes]
) -> StoreCheck:
    """Compare the pages that documents need with those that there are. Neither difference is damage: pages make room
    in a full store, and those of a publish in progress belong to nothing yet."""
    owners = registry.page_owners
    missing = Counter(owners[key] for key in owners.keys() - listed - elsewhere)
    notes = [
        f"{ref}: {count} pages are not on disk; computed when needed"
        for ref, count in sorted(missing.items())
    ]
    if orphans := len(listed - owners.keys()):
        notes.append(f"{orphans} pages belong to no document; they make room first")
    return StoreCheck((), tuple(notes), {"pages needed": len(owners)})


def _aliases(registry: RegistrySnapshot) -> StoreCheck:
    there = {(entry.document.ref.name, entry.document.version) for entry in registry.entries}
    faults = [
        StoreFault(
            StorePart.ALIASES,
            f"{a.name.partition(chr(10))[0]}@{a.alias} means version {a.version}, which is not there",
            "drop",
        )
        for a in registry.aliases
        if (a.name, a.version) not in there
    ]
    return StoreCheck(tuple(faults), (), {"aliases": len(registry.aliases)})


def _manifests(
    registry: RegistrySnapshot, headers: Mapping[bytes, PageRecord], jwks: Mapping[str, object] | None
) -> StoreCheck:
    """Check each manifest against its version, and the pages that were read against it."""
    entries = {(e.document.ref.name, e.document.version): e for e in registry.entries}
    faults: list[StoreFault] = []
    manifests = registry.manifests or {}
    for where, jws in manifests.items():
        entry = entries.get(where)
        if entry is None or jwks is None:
            continue
        ref, scope = entry.document.ref, entry.document.scope
        try:
            manifest = parse_manifest(verify_claims(jws, MANIFEST_TYP, jwks).claims)
        except KVProxyError as e:
            faults.append(StoreFault(StorePart.MANIFESTS, f"{ref}: {e.message}", "sign again"))
            continue
        if (manifest.document.etag, manifest.document.version) != (
            entry.document.etag,
            entry.document.version,
        ):
            faults.append(StoreFault(StorePart.MANIFESTS, f"{ref}: it is of another text", "sign again"))
            continue
        faults += _differing(str(ref), scope, manifest, headers)
    return StoreCheck(tuple(faults), (), {"manifests": len(manifests)})


def _differing(
    ref: str, scope: str, manifest: Manifest, headers: Mapping[bytes, PageRecord]
) -> list[StoreFault]:
    """Return a fault for each page with sound checksums and other numbers than were signed.

    Only plain pages are compared: an encrypted one has other bytes at each writing, and a codec may pack in several
    ways.
    """
    faults: list[StoreFault] = []
    for framing in manifest.framings:
        for index, page in enumerate(framing.pages):
            key = stored_key(bytes.fromhex(page.key), scope)
            header = headers.get(key)
            if header is None or page.digest is None or page.codec or header.codec or header.sealed:
                continue
            if header.fingerprint == manifest.engine.fingerprint and header.digest.hex() != page.digest:
                where = f"number {index} of {ref} ({framing.name})"
                what = f"page {key.hex()[:16]}, {where}, is not what its manifest signs"
                faults.append(StoreFault(StorePart.PAGES, what, "drop and recompute", key))
    return faults


def _prepared(path: Path) -> StoreCheck:
    return of_lines(StorePart.PREPARED, damaged_texts(path) if path.exists() else [], "drop")


def _responses(folder: Path) -> StoreCheck:
    if not folder.is_dir():
        return StoreCheck(())
    try:
        found: Inspected = inspect_responses(folder)
    except (OSError, sqlite3.Error) as e:
        return StoreCheck((StoreFault(StorePart.RESPONSES, f"they cannot be read: {e}", "look"),))
    faults = tuple(
        StoreFault(StorePart.RESPONSES, line, "drop" if line.startswith("response ") else "rebuild")
        for line in found.faults
    )
    return StoreCheck(faults, (), {"responses": found.count})


def _aside(folder: Path) -> StoreCheck:
    """Return a note for each loss of an earlier repair, until a person removes its folder."""
    notes = [f"set aside: {line}" for line in damage_reports(folder)]
    for part in ("pages", "responses"):
        notes += [f"set aside: {part}/{path.name}" for path in sorted((folder / part).glob(f"{ASIDE}*"))]
    return StoreCheck((), tuple(notes))
