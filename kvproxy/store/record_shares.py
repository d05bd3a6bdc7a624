"""`RecordShares`: bytes of the stored responses by scope, and the records to drop when it is full. Pure, no I/O."""

from __future__ import annotations


class RecordShares:
    """Sizes in bytes of all records, by scope and in the order in which they were put.

    A key begins with its scope and a line end. No scope pushes out another that holds less than itself.
    """

    def __init__(self, max_size: int) -> None:
        """Start without records; ``max_size`` in bytes."""
        self.used = 0
        self._max_size = max_size
        self._held: dict[str, dict[str, tuple[int, float | None]]] = {}
        self._bytes: dict[str, int] = {}

    def add(self, key: str, size: int, expires: float | None) -> None:
        """Count a record in place of one under the same key; ``expires`` in Unix seconds.

        Example: ``shares.add("tenant:a\\nresp_1", size=2_048, expires=time.time() + 3600)``
        """
        self.remove(key)
        scope = _scope(key)
        self._held.setdefault(scope, {})[key] = (size, expires)
        self._bytes[scope] = self._bytes.get(scope, 0) + size
        self.used += size

    def remove(self, key: str) -> None:
        """Stop counting a record; one that is not counted is passed over."""
        scope = _scope(key)
        size, _ = self._held.get(scope, {}).pop(key, (0, None))
        if not size:
            return
        self.used -= size
        self._bytes[scope] -= size
        if not self._held[scope]:
            del self._held[scope], self._bytes[scope]

    def make_room(self, key: str, size: int, now: float) -> tuple[str, ...]:
        """Return the records to drop so that one of ``size`` bytes can be put; ``now`` in Unix seconds.

        Expired ones go first, then the oldest of the scope that holds the most, the record to come counted.

        Example: ``shares.make_room("tenant:a\\nresp_2", size=2_048, now=time.time())``
        """
        if self.used + size <= self._max_size:
            return ()
        held = dict(self._bytes)
        oldest = {scope: iter(records) for scope, records in self._held.items()}
        doomed = []
        for scope, records in self._held.items():
            for victim in _expired(records, now):
                doomed.append(next(oldest[scope]))  # the same one: expired ones are in front
                held[scope] -= records[victim][0]
        mine = _scope(key)
        held[mine] = held.get(mine, 0) + size
        total = sum(held.values())
        while total > self._max_size:
            scope = max(held, key=lambda s: held[s])
            oldest_key = next(oldest.get(scope, iter(())), None)
            if oldest_key is None:
                break
            doomed.append(oldest_key)
            held[scope] -= self._held[scope][oldest_key][0]
            total -= self._held[scope][oldest_key][0]
        return tuple(doomed)


def _expired(records: dict[str, tuple[int, float | None]], now: float) -> list[str]:
    """Return the expired records in front.

    Later ones expire later, but for a lifetime that was changed between two runs.
    """
    found = []
    for key, (_, expires) in records.items():
        if expires is None or expires > now:
            break
        found.append(key)
    return found


def _scope(key: str) -> str:
    return key.partition("\n")[0]
