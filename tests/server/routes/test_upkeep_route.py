from __future__ import annotations

from dataclasses import replace

from kvproxy.core.callers import DEFAULT_PERMISSIONS
from kvproxy.upkeep.live_upkeep import LiveUpkeep
from tests.server.doubles import Proxy, client_of, make_proxy
from tests.server.upkeep_double import OneFault


def proxy_of(upkeep: LiveUpkeep | None, **fields: object) -> Proxy:
    made = make_proxy(**fields)  # type: ignore[arg-type]  # parts by name
    made.components = replace(made.components, upkeep=upkeep)
    return made


async def test_check_then_repair() -> None:
    upkeep = OneFault()
    async with client_of(proxy_of(upkeep)) as http:
        for query, sound in (("", False), ("?deep=true", False)):
            response = await http.post(f"/kv/v1/check{query}")
            body = await response.json()
            assert response.status == 200 and body["sound"] is sound and body["looked"] == {"pages": 3}
            assert body["faults"] == ["pages: page ab: the payload fails its checksum (drop and recompute)"]
        assert upkeep.deep == [False, True]
        body = await (await http.post("/kv/v1/repair")).json()
        assert body["sound"] is True and len(body["mended"]) == 1 and body["notes"] == ["1 pages dropped"]
        assert (await (await http.post("/kv/v1/check")).json())["sound"] is True
        assert (await http.post("/kv/v1/check?deep=perhaps")).status == 400


async def test_without_a_store_it_says_so() -> None:
    async with client_of(proxy_of(None)) as http:
        for path in ("check", "repair"):
            assert (await http.post(f"/kv/v1/{path}")).status == 404


async def test_only_an_administrator_may() -> None:
    keys = (("alice", "alice-has-a-key-00"), ("boss", "boss-has-the-key-0"))
    permissions = {"alice": DEFAULT_PERMISSIONS, "boss": DEFAULT_PERMISSIONS | {"admin"}}
    async with client_of(proxy_of(OneFault(), api_keys=keys, permissions=permissions)) as http:
        for key, status in ((keys[0][1], 403), (keys[1][1], 200)):
            for path in ("check", "repair"):
                response = await http.post(f"/kv/v1/{path}", headers={"Authorization": f"Bearer {key}"})
                assert response.status == status
