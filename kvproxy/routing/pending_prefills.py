"""`PendingPrefills`: prompts that were sent and have no first token yet, so that the next reader of the same document
goes where it is being computed, before any event or usage tells."""

from __future__ import annotations

from collections.abc import Mapping


class PendingPrefills:
    """By key: the replicas that are computing it, and how many tokens of it will be there.

    A key's reader that comes meanwhile waits in the replica's queue behind the first one and hits. Holds one entry for
    each request without its first token, so it is bounded as they are.
    """

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: dict[str, dict[str, list[int]]] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def begin(self, key: str, replica: str, tokens: int) -> None:
        """Note that a replica is computing the first ``tokens`` of what ``key`` stands for.

        Example: ``pending.begin(key, routed.replica, document_tokens)``
        """
        self._pending.setdefault(key, {}).setdefault(replica, []).append(tokens)

    def end(self, key: str, replica: str, tokens: int) -> None:
        """Take back what `begin` noted: the first token is there, or there will be none. Does nothing if nothing was
        noted.

        Example: ``pending.end(key, routed.replica, document_tokens)``
        """
        replicas = self._pending.get(key, {})
        counts = replicas.get(replica, [])
        if tokens in counts:
            counts.remove(tokens)
        if replica in replicas and not counts:
            del replicas[replica]
        if not replicas:
            self._pending.pop(key, None)

    def waiting(self, key: str) -> int:
        """Return the readers of a key that have no first token yet, on all replicas."""
        return sum(map(len, self._pending.get(key, {}).values()))

    def forget(self, replica: str) -> None:
        """Drop what a replica was computing: it is down, or was started again."""
        for key in [key for key, replicas in self._pending.items() if replica in replicas]:
            del self._pending[key][replica]
            if not self._pending[key]:
                del self._pending[key]

    def present(self, key: str, resident: Mapping[str, int]) -> Mapping[str, int]:
        """Return tokens by replica: those that are there, and those that will be when a prompt's turn comes.

        Example: ``choose_replica(key, tokens, pending.present(key, index.longest(hashes)), replicas, policy)``
        """
        pending = self._pending.get(key)
        if not pending:
            return resident
        merged = dict(resident)
        for replica, counts in pending.items():
            merged[replica] = max(merged.get(replica, 0), *counts)
        return merged
