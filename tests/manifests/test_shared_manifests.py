from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kvproxy.core import PUBLIC
from kvproxy.documents.library.document import Document
from kvproxy.manifests.manifest import manifest_sha256
from kvproxy.manifests.shared_manifests import SharedManifests
from kvproxy.objects.manifest_objects import ManifestObjects
from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_store import ObjectStore

ALICE = "tenant:alice"


@pytest.fixture
def objects(tmp_path: Path) -> ManifestObjects:
    folder = tmp_path / "objects"
    folder.mkdir()
    return ManifestObjects(ObjectStore(ObjectAddress(folder.as_uri())))


def version(number: int, visibility: str = "public") -> Document:
    return Document("handbook", number, "text", "0" * 64, visibility, ALICE, 1)  # type: ignore[arg-type]  # of a test


def test_the_pointer_names_the_newest_version(objects: ManifestObjects) -> None:
    shared = SharedManifests(objects)
    for number in (1, 3, 2):
        shared.share(version(number), f"jws.of.{number}")
    assert objects.get(PUBLIC, "handbook", 2) == "jws.of.2"
    pointer = objects.current(PUBLIC, "handbook")
    assert pointer is not None
    assert (pointer.current.version, pointer.current.manifest_sha256) == (3, manifest_sha256("jws.of.3"))


def test_private_versions_are_apart(objects: ManifestObjects) -> None:
    SharedManifests(objects).share(version(1, "private"), "jws.of.1")
    assert objects.current(PUBLIC, "handbook") is None
    assert objects.get(ALICE, "handbook", 1) == "jws.of.1"


def test_a_store_that_refuses_is_logged_and_no_failure(
    objects: ManifestObjects, caplog: pytest.LogCaptureFixture
) -> None:
    shared = SharedManifests(objects)
    shared.share(version(1), "jws.of.1")
    with caplog.at_level(logging.WARNING):
        shared.share(version(1), "another")
    assert "the manifest of handbook@1 is not in the object store" in caplog.text
    assert objects.get(PUBLIC, "handbook", 1) == "jws.of.1"
