"""Makes the check and the repair of a running proxy's store."""

from __future__ import annotations

from pathlib import Path

from kvproxy.publish import Publisher
from kvproxy.stack.background import BackgroundTasks
from kvproxy.stack.open_engine import OpenStores, RunningEngine
from kvproxy.stack.open_market import OpenMarket
from kvproxy.upkeep.live_upkeep import LiveParts, LiveUpkeep


def make_upkeep(
    folder: Path,
    stores: OpenStores,
    engine: RunningEngine,
    market: OpenMarket,
    publisher: Publisher,
    background: BackgroundTasks,
) -> LiveUpkeep:
    """Make the upkeep of the store in ``folder``. It has nothing to close.

    Example: ``upkeep = make_upkeep(config.store.path, stores, engine, market, documents.publisher, background)``
    """

    async def recompute() -> int:
        number = await publisher.look_again()
        if number:
            background.start(publisher.refresh())
        return number

    return LiveUpkeep(
        LiveParts(
            folder=folder,
            registry=stores.records.registry,
            pages=stores.pages,
            responses=stores.records.responses,
            jwks=market.host_keys.jwks,
            engine=engine.local.check,
            recompute=recompute,
        )
    )
