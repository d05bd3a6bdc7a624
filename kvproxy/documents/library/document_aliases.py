"""`DocumentAliases`: movable names of versions, by the name of their document."""

from __future__ import annotations

from kvproxy.core import LATEST, DocumentRef
from kvproxy.documents.library.document import Document


class DocumentAliases:
    """Aliases as references are resolved. Changed on the event loop only, read in any thread."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[str, int]] = {}
        """By ``DocumentRef.name``, then by alias."""

    def set(self, name: str, alias: str, version: int | None) -> None:
        """Let an alias of a document mean this version; None removes it.

        Example:
            ``aliases.set("handbook", "stable", 3)``
        """
        aliases = {a: v for a, v in self._versions.get(name, {}).items() if a != alias}
        if version is not None:
            aliases[alias] = version
        if aliases:
            self._versions[name] = aliases
        else:
            self._versions.pop(name, None)

    def names(self, name: str) -> frozenset[str]:
        """Return the aliases of a document."""
        return frozenset(self._versions.get(name, {}))

    def version(self, name: str, alias: str) -> int | None:
        """Return the version that an alias means; None for one that is not set."""
        return self._versions.get(name, {}).get(alias)

    def of(self, document: Document) -> tuple[str, ...]:
        """Return the aliases of a version, sorted."""
        aliases = self._versions.get(document.ref.name, {}).items()
        return tuple(sorted(alias for alias, version in aliases if version == document.version))

    def mean(self, ref: DocumentRef, document: Document) -> bool:
        """Return whether a client's reference may mean this version; ``@latest`` and none may mean each."""
        if ref.alias is None or ref.alias == LATEST:
            return ref.version in (None, document.version)
        return self.version(document.ref.name, ref.alias) == document.version
