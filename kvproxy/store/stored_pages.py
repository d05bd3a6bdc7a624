"""`StoredPages`: the protocol of verified pages that outlive the process, in one tier or in several."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, Protocol

from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_record import PageRecord
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected

Tier = Literal["disk", "objects"]
"""A tier below memory: this machine's page files, or an object store."""


class StoredPages(Protocol):
    """Protocol of ``PageStore`` and ``TieredPages``, which say what each method does. Any thread may call them."""

    @property
    def packing(self) -> PagePacking:
        """The form of the pages' files."""

    def put(
        self,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        payload: Buffer | Sequence[Buffer],
        owner: str | None = None,
    ) -> None:
        """See ``PageStore.put``.

        Example: ``pages.put(key, parent_key, token_ids, payload, owner="tenant:a")``
        """

    def get(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
    ) -> Loaded | Missing | Rejected:
        """See ``PageStore.get``.

        Example: ``pages.get(key, parent_key, token_ids, into=buffer)``
        """

    def tier(self, key: bytes) -> Tier | None:
        """Return the nearest tier that lists the page. No I/O."""

    def record(self, key: bytes) -> PageRecord | None:
        """See ``PageStore.record``."""

    def read_file(self, key: bytes) -> bytes | None:
        """See ``PageStore.read_file``."""

    def delete(self, keys: Iterable[bytes]) -> int:
        """See ``PageStore.delete``."""

    def assign(self, owners: Mapping[bytes, str]) -> None:
        """See ``PageStore.assign``."""

    def collect(self, keep: Collection[bytes]) -> int:
        """See ``PageStore.collect``."""
