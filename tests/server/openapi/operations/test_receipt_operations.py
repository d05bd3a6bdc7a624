from __future__ import annotations

from dataclasses import replace

from kvproxy.server.auth import Keyring
from kvproxy.server.openapi.operations.receipt_operations import RECEIPTS
from tests.server.doubles import client_of
from tests.server.market_double import KEYS, MarketProxy, as_tenant


async def test_receipts_are_for_keys_that_may_see_the_ledger(made: MarketProxy) -> None:
    needs = {one.path: one.needs for one in RECEIPTS}
    assert {need for path, need in needs.items() if path != "/kv/v1/checkpoint"} == {"ledger"}
    readers = Keyring(KEYS, permissions={"alice": frozenset({"read"})})
    made.proxy.components = replace(made.proxy.components, keyring=readers)
    async with client_of(made.proxy) as http:
        for path, need in needs.items():
            found = await http.get(path.replace("{receipt}", "rcpt_x"), headers=as_tenant("alice"))
            assert found.status == (403 if need == "ledger" else 200), path
            if need == "ledger":
                assert "scope 'ledger'" in (await found.json())["error"]["message"]
