"""`SharedManifests`: the manifests of this host's versions in the object store that a fleet shares."""

from __future__ import annotations

import logging

from kvproxy.core import PUBLIC
from kvproxy.documents.library.document import Document
from kvproxy.manifests.manifest import manifest_sha256
from kvproxy.objects.manifest_objects import (
    CurrentVersion,
    ManifestDamaged,
    ManifestObjects,
    PointerConflict,
)
from kvproxy.objects.object_results import ObjectsUnavailable

logger = logging.getLogger(__name__)


class SharedManifests:
    """Writes the first manifest of each version and moves the pointer to the newest one. Blocking, any thread.

    An object is written once: later manifests of a version (new terms, a verification) are served by the host alone.
    A store that fails is logged and delays nothing.

    Example:
        ``SharedManifests(ManifestObjects(store)).share(document, jws)``
    """

    def __init__(self, objects: ManifestObjects) -> None:
        self._objects = objects

    def share(self, document: Document, jws: str) -> None:
        """Write a new version's manifest, and let the pointer name it unless it names a newer version."""
        namespace = PUBLIC if document.visibility == "public" else document.owner_scope
        wanted = CurrentVersion(document.version, manifest_sha256(jws))
        try:
            self._objects.put(namespace, document.id, document.version, jws)
            self._objects.move(
                namespace,
                document.id,
                lambda now: None if now is not None and now.version >= document.version else wanted,
            )
        except (ObjectsUnavailable, PointerConflict, ManifestDamaged) as e:
            logger.warning("the manifest of %s is not in the object store: %s", document.ref, e)
