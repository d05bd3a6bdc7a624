"""Aliases, manifests and reads: what the registry keeps beside versions."""

from __future__ import annotations

from kvproxy.core import DocumentRef
from kvproxy.documents.library.recorded_reads import RecordedReads
from kvproxy.documents.registry.registry import Registry
from kvproxy.documents.registry.registry_entry import DocumentAlias
from tests.documents.registry.test_registry import document, path, registry

__all__ = ["path", "registry"]


def test_an_alias_moves(registry: Registry) -> None:
    registry.publish(document(), [])
    registry.publish(document("other"), [])
    registry.set_alias("handbook", "stable", 1)
    registry.set_alias("handbook", "stable", 2)
    registry.set_alias("handbook", "beta", 3)
    registry.set_alias("other", "stable", 1)
    registry.set_alias("other", "stable", None)
    assert registry.aliases() == [
        DocumentAlias("handbook", "beta", 3),
        DocumentAlias("handbook", "stable", 2),
    ]
    registry.delete([document().ref])
    assert len(registry.aliases()) == 2, "as long as the name is known"


def test_manifests_and_reads_last_as_long_as_their_version(registry: Registry) -> None:
    registry.publish(document(), [])
    registry.put_manifest(document().ref, "a.b.c")
    registry.put_manifest(document().ref, "d.e.f")
    registry.note_reads({document().ref: RecordedReads(3, 100, 10)})
    registry.note_reads({document().ref: RecordedReads(4, 101), DocumentRef("gone", 1): RecordedReads(1, 1)})
    registry.put_manifest(DocumentRef("gone", 1), "g")
    assert registry.manifest(document().ref) == "d.e.f" and registry.manifest(DocumentRef("gone", 1)) is None
    assert registry.reads() == {("handbook", 1): RecordedReads(7, 101, 10)}, "added up"
    registry.delete([document().ref])
    assert registry.manifest(document().ref) is None and registry.reads() == {}
