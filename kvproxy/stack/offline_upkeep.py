"""Check and repair of the store of a configuration while no proxy runs: opens what they need, without a model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kvproxy.config import Config
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.documents.registry.open_registry import open_registry
from kvproxy.documents.registry.registry import Registry
from kvproxy.documents.registry.registry_rescue import make_database_sound
from kvproxy.errors import KVProxyError, SetupError
from kvproxy.objects.object_store import ObjectStore
from kvproxy.receipts.host_keys import FOLDER as HOST_KEYS
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.stack.open_database import ledger_faults
from kvproxy.stack.open_pages import address_of
from kvproxy.store.page_store import PageStore
from kvproxy.store.store_folder import hold_folder
from kvproxy.store.stored_responses import FileResponses
from kvproxy.upkeep.check_store import check_store
from kvproxy.upkeep.object_check import check_objects
from kvproxy.upkeep.registry_snapshot import RegistrySnapshot, read_file_snapshot, read_snapshot
from kvproxy.upkeep.repair_store import RepairParts, StoreRepair, repair_store
from kvproxy.upkeep.store_faults import StoreCheck, joined


def check_offline(config: Config, *, deep: bool = False) -> StoreCheck:
    """Check a store that no process uses. Raises SetupError where one does. Blocking.

    Example: ``check_offline(read_config(Path("kvproxy.yaml")), deep=True).sound``
    """
    _there(config.store.path)
    with hold_folder(config.store.path):
        return _check(config, deep=deep)


def repair_offline(config: Config) -> StoreRepair:
    """Mend a store that no process uses. Raises SetupError where one does, and for a folder that cannot be written.

    Example: ``repair_offline(read_config(Path("kvproxy.yaml"))).left``
    """
    folder, settings = config.store.path, config.store
    _there(folder)
    if not os.access(folder, os.W_OK):
        raise SetupError(
            f"{folder} cannot be written by this user; repair it as the user that kvproxy runs as"
        )
    # The engine's fingerprint is not known without its model. No page is written here, and each says its own.
    parts = RepairParts(
        registry=lambda: _mended_registry(config),
        pages=lambda: PageStore(folder, max_size=settings.max_size, fingerprint=""),
        responses=lambda: FileResponses(
            folder / "responses", ttl_s=config.responses.ttl_s, max_size=config.responses.max_size
        ),
        check=lambda: _check(config, deep=True),
        responses_ttl_s=config.responses.ttl_s,
    )
    return repair_store(folder, parts)


def _check(config: Config, *, deep: bool) -> StoreCheck:
    folder = config.store.path
    snapshots: list[RegistrySnapshot] = []

    def snapshot() -> RegistrySnapshot:
        snapshots.append(_snapshot(config))
        return snapshots[0]

    local = check_store(folder, snapshot, deep=deep, jwks=_jwks(folder))
    if config.store.objects.url is None or not snapshots:
        return local
    store = ObjectStore(address_of(config.store))
    return joined([local, check_objects(store, snapshots[0], deep=deep)])


def _snapshot(config: Config) -> RegistrySnapshot:
    path = Database.file(config.database.address, config.store.path)
    if path is not None:
        return read_file_snapshot(path)
    with Database.open(config.database.address, config.store.path) as database, database.snapshot() as db:
        return read_snapshot(db)


def _jwks(folder: Path) -> Mapping[str, Any] | None:
    """Return the host's public keys; None where it has none that can be read, so that no signature is judged."""
    keys = HostKeys(folder / HOST_KEYS)
    try:
        keys.refresh()
    except (KVProxyError, OSError):
        return None
    return keys.jwks() if keys.keys else None


@contextmanager
def _mended_registry(config: Config) -> Iterator[Registry]:
    path = Database.file(config.database.address, config.store.path)
    if path is not None:
        make_database_sound(path, ledger_faults)
    with Database.open(config.database.address, config.store.path) as database:
        migrate(database)
        yield open_registry(database, config.store.path)


def _there(folder: Path) -> None:
    if not folder.is_dir():
        raise SetupError(
            f"there is no store at {folder}; name its configuration with --config, or it with --store"
        )
