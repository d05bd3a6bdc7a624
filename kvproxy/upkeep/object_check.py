"""`check_objects`: the pages of a store's documents in the object store behind it."""

from __future__ import annotations

from io import BytesIO

from kvproxy.core import stored_key
from kvproxy.objects.object_pages import LARGEST
from kvproxy.objects.object_results import ObjectAbsent, ObjectsUnavailable, ObjectTooLarge
from kvproxy.objects.object_store import ObjectStore
from kvproxy.store import page_file
from kvproxy.store.page_record import Torn
from kvproxy.upkeep.registry_snapshot import RegistrySnapshot
from kvproxy.upkeep.store_faults import StoreCheck, StoreFault, StorePart

FOLDER = "pages/"


def check_objects(store: ObjectStore, registry: RegistrySnapshot, *, deep: bool) -> StoreCheck:
    """List the object store, and with ``deep`` read every page of a document in it.

    Pages of other hosts lie in it too: what no document here needs is no fault. A store that does not answer is a note,
    since pages are computed where it does not. Blocking.

    Example: ``check_objects(ObjectStore(address), snapshot, deep=True)``
    """
    wanted = _wanted(registry)
    try:
        names = frozenset(store.names(FOLDER))
        found = [name for name in wanted if name in names]
        faults = [f for name in found if (f := _fault(store, name, wanted[name])) is not None] if deep else []
    except ObjectsUnavailable as e:
        return StoreCheck((), (f"the object store does not answer: {e.detail}",))
    notes = (
        [f"{missing} pages are not in the object store yet"] if (missing := len(wanted) - len(found)) else []
    )
    looked = {"objects": len(found), "objects read": len(found) if deep else 0}
    return StoreCheck(tuple(faults), tuple(notes), looked)


def _wanted(registry: RegistrySnapshot) -> dict[str, bytes]:
    """Return the names of all objects that documents need, with their pages' keys."""
    wanted: dict[str, bytes] = {}
    for entry in registry.entries:
        for framing in entry.framings:
            prefix = f"{FOLDER}{framing.kept.fingerprint[:32]}/"
            for page in framing.kept.pages:
                key = stored_key(page.key, entry.document.scope)
                wanted[f"{prefix}{key.hex()[:2]}/{key.hex()}.page"] = key
    return wanted


def _fault(store: ObjectStore, name: str, key: bytes) -> StoreFault | None:
    content = store.read(name, LARGEST)
    if isinstance(content, ObjectAbsent):  # deleted since it was listed
        return None
    if isinstance(content, ObjectTooLarge):
        return StoreFault(
            StorePart.OBJECTS, f"{name} has {content.size} bytes and is no page", "drop and recompute", key
        )
    record = page_file.read_whole(BytesIO(bytes(content.data)))
    reason = record.reason if isinstance(record, Torn) else "it holds another page's key"
    if isinstance(record, Torn) or record.key != key:
        return StoreFault(StorePart.OBJECTS, f"{name}: {reason}", "drop and recompute", key)
    return None
