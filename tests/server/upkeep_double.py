"""`OneFault`: the check and repair of a store that has one fault, for the server's tests."""

from __future__ import annotations

from kvproxy.upkeep.live_upkeep import EndedCheck, LiveUpkeep
from kvproxy.upkeep.repair_store import StoreRepair
from kvproxy.upkeep.store_faults import StoreCheck, StoreFault, StorePart

FAULT = StoreFault(
    StorePart.PAGES, "page ab: the payload fails its checksum", "drop and recompute", b"a" * 32
)


class OneFault(LiveUpkeep):
    """A store with one fault, which a repair mends."""

    def __init__(self) -> None:
        self.last = None
        self.deep: list[bool] = []
        self.faults: tuple[StoreFault, ...] = (FAULT,)

    async def check(self, *, deep: bool = False) -> StoreCheck:
        self.deep.append(deep)
        found = StoreCheck(self.faults, ("a note",), {"pages": 3})
        self.last = EndedCheck(1_800_000_000.0, 0.5, deep, found)
        return found

    @property
    def running(self) -> bool:
        return False

    def damage_reports(self) -> list[str]:
        return []

    async def repair(self) -> StoreRepair:
        mended, self.faults = self.faults, ()
        return StoreRepair(mended, (), ("1 pages dropped",))
