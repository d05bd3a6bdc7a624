from __future__ import annotations

from pathlib import Path

from kvproxy.catalog.host_description import WELL_KNOWN
from kvproxy.server.openapi.operations.catalog_operations import CATALOG
from tests.server.doubles import client_of
from tests.server.market_double import MarketProxy, as_tenant


async def test_only_the_hosts_description_is_open(made: MarketProxy, tmp_path: Path) -> None:
    needs = {(one.method, one.path): one.needs for one in CATALOG}
    assert [path for (_, path), need in needs.items() if need is None] == [WELL_KNOWN]
    async with client_of(made.proxy) as http:
        for method, path in needs:
            stranger = await http.request(method, path, json={} if method == "POST" else None)
            assert stranger.status == (200 if path == WELL_KNOWN else 401), path
            known = await http.request(
                method, path, headers=as_tenant("alice"), json={} if method == "POST" else None
            )
            assert known.status == (400 if method == "POST" else 200), path
