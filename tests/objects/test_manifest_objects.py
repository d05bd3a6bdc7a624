"""Manifests as objects: immutable ones, and a pointer that moves from one known state to the next."""

from __future__ import annotations

import threading

import pytest

from kvproxy.objects.manifest_objects import (
    CurrentVersion,
    ManifestDamaged,
    ManifestObjects,
    PointerConflict,
)
from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_store import ObjectStore
from tests.objects.conftest import s3_address

HEX = "ab" * 32


def version(number: int) -> CurrentVersion:
    return CurrentVersion(number, HEX)


def at_least(number: int, now: CurrentVersion | None) -> CurrentVersion | None:
    return None if now is not None and now.version >= number else version(number)


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "file":
        return ObjectStore(request.getfixturevalue("folder_address"))
    server = request.getfixturevalue("s3_server")
    return ObjectStore(s3_address(server, request.getfixturevalue("bucket")))


def test_a_manifest_is_written_once(store: ObjectStore) -> None:
    manifests = ManifestObjects(store)
    assert manifests.get("public", "handbook", 1) is None
    assert manifests.put("public", "handbook", 1, "a.b.c")
    assert not manifests.put("public", "handbook", 1, "a.b.c")
    with pytest.raises(ManifestDamaged, match="another manifest of version 1"):
        manifests.put("public", "handbook", 1, "a.b.d")
    assert manifests.get("public", "handbook", 1) == "a.b.c"
    assert manifests.get("tenant:a", "handbook", 1) is None


def test_names_show_neither_ids_nor_tenants(store: ObjectStore) -> None:
    manifests = ManifestObjects(store)
    manifests.put("tenant:a", "secret-plan/../x", 1, "a.b.c")
    manifests.move("tenant:a", "secret-plan/../x", lambda now: version(1))
    names = sorted(store.names("manifests/"))
    assert len(names) == 2 and names[0].endswith("/1.jws") and names[1].endswith("/current.json")
    assert not any("plan" in name or "tenant" in name or ".." in name for name in names)


def test_the_pointer_moves_on_what_was_read(store: ObjectStore) -> None:
    manifests = ManifestObjects(store)
    assert manifests.current("public", "handbook") is None
    assert manifests.move("public", "handbook", lambda now: version(1)) == version(1)
    assert manifests.move("public", "handbook", lambda now: at_least(3, now)) == version(3)
    assert manifests.move("public", "handbook", lambda now: at_least(2, now)) == version(3)
    pointer = manifests.current("public", "handbook")
    assert pointer is not None and pointer.current == version(3)


def test_who_is_overtaken_decides_again(folder_address: ObjectAddress) -> None:
    manifests, other = (
        ManifestObjects(ObjectStore(folder_address)),
        ManifestObjects(ObjectStore(folder_address)),
    )
    seen: list[CurrentVersion | None] = []

    def decide(now: CurrentVersion | None) -> CurrentVersion:
        seen.append(now)
        if len(seen) == 1:
            other.move("public", "handbook", lambda now: version(7))
        return version(1 if now is None else now.version + 1)

    assert manifests.move("public", "handbook", decide) == version(8)
    assert seen == [None, version(7)]


def test_who_is_overtaken_again_and_again_gives_up_and_changes_nothing(folder_address: ObjectAddress) -> None:
    manifests, other = (
        ManifestObjects(ObjectStore(folder_address)),
        ManifestObjects(ObjectStore(folder_address)),
    )
    count = 0

    def decide(now: CurrentVersion | None) -> CurrentVersion:
        nonlocal count
        count += 1
        other.move("public", "handbook", lambda now: version(100 + count))
        return version(1)

    with pytest.raises(PointerConflict, match="try again"):
        manifests.move("public", "handbook", decide)
    pointer = manifests.current("public", "handbook")
    assert pointer is not None and pointer.current == version(100 + count)


def test_proxies_that_move_it_at_once_lose_no_version(folder_address: ObjectAddress) -> None:
    def count(manifests: ManifestObjects) -> None:
        done = 0
        while done < 5:
            try:
                manifests.move(
                    "public", "handbook", lambda now: version(1 if now is None else now.version + 1)
                )
                done += 1
            except PointerConflict:
                pass

    threads = [
        threading.Thread(target=count, args=(ManifestObjects(ObjectStore(folder_address)),)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pointer = ManifestObjects(ObjectStore(folder_address)).current("public", "handbook")
    assert pointer is not None and pointer.current == version(20)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"version": "3", "manifest_sha256": "a"}', b"[" * 9999, b"\xff"]
)
def test_a_pointer_that_is_none_is_named(folder_address: ObjectAddress, content: bytes) -> None:
    store = ObjectStore(folder_address)
    manifests = ManifestObjects(store)
    manifests.move("public", "handbook", lambda now: version(1))
    (name,) = store.names("manifests/")
    store.replace(name, content)
    with pytest.raises(ManifestDamaged):
        manifests.current("public", "handbook")


def test_an_oversized_manifest_is_not_read(folder_address: ObjectAddress) -> None:
    store = ObjectStore(folder_address)
    manifests = ManifestObjects(store)
    manifests.put("public", "handbook", 1, "a.b.c")
    (name,) = store.names("manifests/")
    store.replace(name, bytes(17 * 2**20))
    with pytest.raises(ManifestDamaged, match="too large"):
        manifests.get("public", "handbook", 1)
