"""`ManifestObjects`: signed manifests of document versions as objects, and the pointer to the current one.

A version's manifest is written once and never changes. ``current.json`` names the version that counts: the only object
that changes, always from one known state to the next (If-Match), so that two proxies cannot overwrite each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from kvproxy.objects.object_results import ObjectAbsent, ObjectFound, SwapConflict
from kvproxy.objects.object_store import ObjectStore

MOST_MANIFEST = 16 * 2**20
"""Bytes of a signed manifest at most."""
_MOST_POINTER = 2**16
_ATTEMPTS = 8


class PointerConflict(Exception):
    """Other proxies moved the pointer again and again meanwhile; nothing has changed. Try again later."""


class ManifestDamaged(Exception):
    """An object under a manifest's name is none."""


@dataclass(frozen=True, slots=True)
class CurrentVersion:
    """The content of ``current.json``: the version that counts, and the digest of its manifest (sha256, hex)."""

    version: int
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """A pointer that was read: its content and the state to move it from."""

    current: CurrentVersion
    etag: str


class ManifestObjects:
    """Manifests by namespace, document id and version. Blocking, any thread; raises ObjectsUnavailable.

    ``namespace``: the publisher's scope, or ``public``; objects carry digests of it and of the id, never the names.

    Example:
        ``manifests.put("public", "handbook", 3, jws); manifests.move("public", "handbook", lambda now: wanted)``
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put(self, namespace: str, id: str, version: int, jws: str) -> bool:
        """Write a version's manifest; return False where the same one is there. Raises ManifestDamaged for another one.

        Example: ``manifests.put("public", "handbook", 3, jws)``
        """
        if self._store.create(self._name(namespace, id, f"{version}.jws"), jws.encode("ascii")):
            return True
        if self.get(namespace, id, version) != jws:
            raise ManifestDamaged(f"the object store has another manifest of version {version}")
        return False

    def get(self, namespace: str, id: str, version: int) -> str | None:
        """Return a version's manifest as it was signed, None without one. Its signature is the caller's to check.

        Raises ManifestDamaged. Example: ``manifests.get("public", "handbook", 3)``
        """
        found = self._store.read(self._name(namespace, id, f"{version}.jws"), MOST_MANIFEST)
        if isinstance(found, ObjectAbsent):
            return None
        try:
            return bytes(found.data).decode("ascii") if isinstance(found, ObjectFound) else _too_large()
        except UnicodeDecodeError as e:
            raise ManifestDamaged("the manifest in the object store is no text") from e

    def current(self, namespace: str, id: str) -> Pointer | None:
        """Return the pointer; None where there is none. Raises ManifestDamaged."""
        found = self._store.read(self._name(namespace, id, "current.json"), _MOST_POINTER)
        if isinstance(found, ObjectAbsent):
            return None
        if not isinstance(found, ObjectFound):
            _too_large()
        return Pointer(_parsed(bytes(found.data)), found.etag)

    def move(
        self, namespace: str, id: str, decide: Callable[[CurrentVersion | None], CurrentVersion | None]
    ) -> CurrentVersion | None:
        """Move the pointer to what ``decide`` makes of its present content; None from it leaves the pointer.

        ``decide`` is called again where another proxy was faster, with what that one wrote. Returns the content that
        counts now. Raises PointerConflict, ManifestDamaged.

        Example: ``manifests.move("public", "handbook", lambda now: None if now and now.version > 3 else wanted)``
        """
        for _ in range(_ATTEMPTS):
            pointer = self.current(namespace, id)
            present = None if pointer is None else pointer.current
            wanted = decide(present)
            if wanted is None or wanted == present:
                return present
            data = json.dumps({"version": wanted.version, "manifest_sha256": wanted.manifest_sha256}).encode()
            name = self._name(namespace, id, "current.json")
            moved = self._store.swap(name, data, None if pointer is None else pointer.etag)
            if not isinstance(moved, SwapConflict):
                return wanted
        raise PointerConflict(
            f"the current version of '{id}' was moved by other proxies {_ATTEMPTS} times; try again"
        )

    def _name(self, namespace: str, id: str, file: str) -> str:
        return f"manifests/{_digest(namespace)}/{_digest(id)}/{file}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _too_large() -> NoReturn:
    raise ManifestDamaged("the object under the manifest's name is too large to be one")


def _parsed(data: bytes) -> CurrentVersion:
    try:
        content = json.loads(data)
        version, digest = content["version"], content["manifest_sha256"]
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise ManifestDamaged("current.json in the object store is none of kvproxy's") from e
    if type(version) is not int or version < 1 or not isinstance(digest, str):
        raise ManifestDamaged("current.json in the object store is none of kvproxy's")
    return CurrentVersion(version, digest)
