"""`hide_ended`: hides a registered version that has ended. The library alone changes."""

from __future__ import annotations

from kvproxy.documents.library.library import Library
from kvproxy.documents.library.withdrawn_documents import Ending, Withdrawal
from kvproxy.documents.registry.registry_entry import RegistryEntry
from kvproxy.publishing.expiry_clock import ExpiryClock


def hide_ended(library: Library, entry: RegistryEntry, clock: ExpiryClock) -> Ending | None:
    """Stop serving a version whose row says that it has ended, and return how; None where it is served.

    Example:
        ``served = hide_ended(library, entry, clock) is None``
    """
    ending = _ending(entry, clock)
    if ending is None:
        return None
    ended = Withdrawal(entry.document, ending, entry.revoked or "")
    library.withdraw(entry.document.ref, ending, ended.reason)
    if library.withdrawn.find(entry.document.ref) != ended:
        library.withdrawn.put(ended)
    return ending


def _ending(entry: RegistryEntry, clock: ExpiryClock) -> Ending | None:
    if entry.revoked is not None:
        return "revoked"
    expires = entry.document.expires
    return "expired" if expires is not None and expires <= clock.ended_by() else None
