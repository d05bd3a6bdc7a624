"""`Arrival`: the protocol of pages that a publish does not have to compute, because they came from elsewhere."""

from __future__ import annotations

from typing import Protocol

from kvproxy.documents.library.document import Document
from kvproxy.documents.registry.registry_entry import KeptFraming


class Arrival(Protocol):
    """Pages of one text that were checked, and that no reader can find yet."""

    @property
    def computed(self) -> int:
        """The positions that were computed to check them, which the publisher pays for."""

    @property
    def prefixes(self) -> tuple[KeptFraming, ...]:
        """The prefixes whose pages they are."""

    async def plant(self, document: Document) -> None:
        """Copy the pages into the document's scope, where ``LocalBackend.keep`` finds them. Raises StorageFull,
        Unavailable; some may have been copied then."""
