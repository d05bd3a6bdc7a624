"""`Numerics`: the tile sizes in which a row's bits depend on its own prefix alone, and whether that is so at all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Numerics:
    """The row counts that a model's tiles may have, all with the same bits for a row."""

    largest: int
    """The most rows of a tile."""
    exact: bool
    """False where a row was seen to get other bits among other rows: no hit is claimed exact then."""
    kernel: str
    """Name of the kernels, for the log and the fingerprint."""
    sizes: tuple[int, ...] | None = None
    """Row counts that the kernels have, ascending: a tile is padded to the next one. None: any up to ``largest``."""

    def tile_for(self, rows: int) -> int:
        """Return the rows of the smallest tile for ``rows`` rows, at most ``largest``."""
        return rows if self.sizes is None else next(size for size in self.sizes if size >= rows)

    def choices(self, least: int) -> list[int]:
        """Return the row counts of at least ``least`` that a prompt's tile is chosen from, largest first."""
        if self.sizes is not None:
            return [size for size in reversed(self.sizes) if size >= least]
        halves = (self.largest >> i for i in range(self.largest.bit_length()))
        return [size for size in halves if size >= least]

    def describe(self) -> str:
        """Return the value in one line, for the log."""
        verdict = "exact" if self.exact else "NOT shown exact"
        tiles = f"up to {self.largest}" if self.sizes is None else "/".join(map(str, self.sizes))
        return f"{verdict}: {self.kernel}, tiles of {tiles} rows"
