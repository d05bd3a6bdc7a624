from __future__ import annotations

import asyncio
import json

from kvproxy.receipts.merkle_tree import extends, includes
from kvproxy.receipts.receipt_claims import RECEIPT_TYP
from kvproxy.receipts.signed_note import verify_checkpoint
from kvproxy.receipts.statement_check import check_statements
from kvproxy.receipts.statement_claims import receipt_leaf
from tests.receipts.booked_reads import AT, read_of
from tests.receipts.booked_rows import book
from tests.server.doubles import client_of
from tests.server.market_double import MarketProxy, as_tenant
from tests.server.routes.test_catalog_route import check_described


async def test_receipts_of_ones_own_request_and_by_id(made: MarketProxy) -> None:
    (row,) = await asyncio.to_thread(book, made.database, [read_of(1, "acme", "zeta")])
    async with client_of(made.proxy) as http:
        listed = await (
            await http.get(f"/kv/v1/receipts?request={row.id}", headers=as_tenant("alice"))
        ).json()
        check_described("listReceipts", listed)
        first, second = listed["data"]
        assert made.keys.verify(first["jws"], RECEIPT_TYP) == first["claims"]
        for name, wanted, status in (
            ("alice", first, 200),
            ("acme", first, 200),
            ("acme", second, 404),
            ("alice", second, 200),
        ):
            response = await http.get(f"/kv/v1/receipts/{wanted['id']}", headers=as_tenant(name))
            assert response.status == status
            if status == 200:
                answer = await response.json()
                check_described("retrieveReceipt", answer)
                assert answer == wanted
        assert (await http.get("/kv/v1/receipts", headers=as_tenant("alice"))).status == 400
        missing = await http.get("/kv/v1/receipts/rcpt_x", headers=as_tenant("alice"))
        assert (await missing.json())["error"]["code"] == "receipt_not_found"


async def test_a_statement_is_fetched_and_proven(made: MarketProxy) -> None:
    await asyncio.to_thread(book, made.database, [read_of(n) for n in range(5)])
    async with client_of(made.proxy) as http:
        path = f"/kv/v1/statements?from={AT}&to=2027-12-31&receipts=true"
        statement = await (await http.get(path, headers=as_tenant("acme"))).json()
        check_described("retrieveStatement", statement)
        assert statement["reads"] == len(statement["receipts"]) == 5
        check = check_statements([statement["jws"]], statement["receipts"], made.keys.jwks())
        assert check.faults == () and check.publisher_nano == 1_250_000
        assert statement["publisher_share"] == "0.00125"
        bare = await (await http.get("/kv/v1/statements", headers=as_tenant("acme"))).json()
        assert bare["receipts"] == []
        refused = await http.get("/kv/v1/statements?publisher=acme", headers=as_tenant("alice"))
        assert refused.status == 403
        for wrong in ("from=yesterday", "from=5&to=4", "to=-1"):
            assert (await http.get(f"/kv/v1/statements?{wrong}", headers=as_tenant("acme"))).status == 400


async def test_proofs_over_http(made: MarketProxy) -> None:
    rows = await asyncio.to_thread(book, made.database, [read_of(n) for n in range(3)])
    async with client_of(made.proxy) as http:
        early = await (await http.get("/kv/v1/checkpoint")).json()
        check_described("retrieveCheckpoint", early)
        claims = made.keys.verify(made.market.receipts.of(rows[1])[0], RECEIPT_TYP)  # type: ignore[union-attr]  # the double has receipts
        await asyncio.to_thread(book, made.database, [read_of(n) for n in range(3, 8)])

        async def proof(path: str, name: str) -> dict[str, object]:
            response = await http.get(f"/kv/v1/{path}", headers=as_tenant(name))
            assert response.status == 200, await response.text()
            answer: dict[str, object] = json.loads(await response.text())
            check_described("proveStatement", answer)
            return answer

        def path_of(answer: dict[str, object]) -> list[bytes]:
            assert isinstance(answer["path"], list)
            return [bytes.fromhex(node) for node in answer["path"]]

        found = await proof(f"statements/proof?receipt={claims['id']}", "acme")
        root = bytes.fromhex(str(found["root"]))
        assert found["size"] == 8 and includes(receipt_leaf(claims), 1, 8, path_of(found), root)
        grown = await proof("checkpoint/proof?first=3&size=8", "alice")
        late = verify_checkpoint(
            (await (await http.get("/kv/v1/checkpoint")).json())["note"], made.keys.jwks()
        )
        old = verify_checkpoint(early["note"], made.keys.jwks())
        assert extends(3, 8, path_of(grown), old.root, late.root)
        mine = await proof(f"checkpoint/proof?request={rows[2].id}", "alice")
        assert includes(bytes.fromhex(str(mine["leaf"])), 2, 8, path_of(mine), late.root)
        again = await proof("statements/proof?first=3&size=8", "acme")
        assert again["size"] == 8
        for wrong in (
            "checkpoint/proof",
            "checkpoint/proof?first=x&size=8",
            "statements/proof?first=9&size=10",
        ):
            assert (await http.get(f"/kv/v1/{wrong}", headers=as_tenant("acme"))).status == 400
