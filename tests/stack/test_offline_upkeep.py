from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.config import Config
from kvproxy.errors import SetupError
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.stack.offline_upkeep import check_offline, repair_offline
from tests.upkeep.filled_store import FilledStore, ref_of


@pytest.fixture
def store(tmp_path: Path) -> FilledStore:
    return FilledStore.make(tmp_path / "kv")


def with_objects(store: FilledStore, bucket: Path) -> Config:
    bucket.mkdir()
    settings = {"path": str(store.folder), "objects": {"url": f"file://{bucket}"}}
    return Config.model_validate({"store": settings, "model": {"path": "smollm2-135m"}})


def test_an_object_store_is_looked_into_too(store: FilledStore, tmp_path: Path) -> None:
    found = check_offline(with_objects(store, tmp_path / "bucket"), deep=True)
    assert found.sound and "24 pages are not in the object store yet" in found.notes


def test_a_manifest_that_this_host_did_not_sign_is_found(store: FilledStore, tmp_path: Path) -> None:
    HostKeys.open(store.folder)
    other = HostKeys.open(tmp_path / "other")
    with store.open() as (_, registry):
        registry.put_manifest(ref_of("doc1", 1), other.sign({"format": "x"}, "kvproxy-manifest+jws"))
    found = check_offline(store.config)
    assert [fault.part for fault in found.faults] == ["manifests"] and "doc1@1" in found.faults[0].line


def test_without_the_hosts_keys_no_signature_is_judged(store: FilledStore, tmp_path: Path) -> None:
    other = HostKeys.open(tmp_path / "other")
    with store.open() as (_, registry):
        registry.put_manifest(ref_of("doc1", 1), other.sign({"format": "x"}, "kvproxy-manifest+jws"))
    assert check_offline(store.config).sound


def test_a_config_without_a_store_is_told(tmp_path: Path) -> None:
    config = Config.model_validate({"store": {"path": str(tmp_path / "no")}})
    for work in (check_offline, repair_offline):
        with pytest.raises(SetupError, match="there is no store"):
            work(config)
