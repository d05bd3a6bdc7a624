"""``kvproxy receipt``, ``statement`` and ``host-key``, offline and against a proxy over HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kvproxy.cli.app import app
from kvproxy.receipts.canonical_jws import unverified_claims
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.statement_claims import STATEMENT_TYP
from tests.receipts.booked_reads import read_of
from tests.receipts.booked_rows import book
from tests.server.doubles import client_of
from tests.server.market_double import KEYS, market_proxy, offered

SECRETS = dict(KEYS)


def call(*arguments: str | Path, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def fetched(tmp_path: Path) -> dict[str, Any]:
    """A statement of five reads, the host's keys in a file, and the store's folder."""

    async def fetch() -> dict[str, Any]:
        with market_proxy(tmp_path / "store") as made:
            book(made.database, [read_of(n) for n in range(5)])
            made.offers.documents = [offered("handbook-acme", 3)]
            async with client_of(made.proxy) as http:
                url, out = str(http.make_url("/")), tmp_path / "statement.json"
                key = ("--url", url, "--api-key", SECRETS["acme"])
                written = await asyncio.to_thread(
                    call, "statement", "fetch", "--to", "2028-01-01", "-o", out, *key
                )
                assert written[0] == 0 and "5 reads" in written[1]
                id = unverified_claims(json.loads(out.read_text())["receipts"][0])["id"]
                one = await asyncio.to_thread(call, "receipt", "fetch", id, *key)
                online = await asyncio.to_thread(call, "receipt", "verify", "-", "--jwks", url, stdin=one[1])
                assert online[0] == 0
                listed = await asyncio.to_thread(call, "catalog", *key)
                quoted = await asyncio.to_thread(call, "quote", "nothing@1", *key)
            jwks = tmp_path / "jwks.json"
            jwks.write_text(json.dumps(made.keys.jwks()))
        return {"statement": out, "jwks": jwks, "receipt": one[1], "catalog": listed, "quote": quoted}

    return asyncio.run(fetch())


def test_a_receipt_is_verified_offline_and_a_changed_one_refused(
    fetched: dict[str, Any], tmp_path: Path
) -> None:
    status, told, _ = call("receipt", "verify", "-", "--jwks", fetched["jwks"], stdin=fetched["receipt"])
    assert status == 0 and "handbook-acme@3" in told and "3,584 tokens" in told
    head, payload, signature = fetched["receipt"].strip().split(".")
    file = tmp_path / "changed"
    file.write_text(f"{head}.{payload[:-4]}AAAA.{signature}\n{fetched['receipt']}")
    status, told, said = call("receipt", "verify", file, "--jwks", fetched["jwks"])
    assert status == 1 and "refused" in said and told.count("holds") == 1
    status, told, _ = call(
        "receipt", "verify", "-", "--jwks", fetched["jwks"], "--json", stdin=fetched["receipt"]
    )
    assert json.loads(told)[0]["publisher"] == "acme"


def test_a_statement_is_verified_offline(fetched: dict[str, Any]) -> None:
    status, told, _ = call("statement", "verify", fetched["statement"], "--jwks", fetched["jwks"])
    assert status == 0, told
    assert "5 of 5 reads proven, 0.00125 for the publisher; all of it holds" in told


def test_one_removed_one_changed_and_one_added_read_are_named(
    fetched: dict[str, Any], tmp_path: Path
) -> None:
    """The host's own key signs the lie: the publisher's receipts tell."""
    told = json.loads(fetched["statement"].read_text())
    claims = unverified_claims(told["jws"])
    ids = [one["id"] for one in claims["receipts"]]
    claims["receipts"][1]["hash"] = "00" * 32
    claims["receipts"][3] = {"id": "rcpt_invented", "hash": "11" * 32}
    keys = HostKeys.open(tmp_path / "store")
    file = tmp_path / "lie.json"
    file.write_text(json.dumps({**told, "jws": keys.sign(claims, STATEMENT_TYP)}))
    status, said, _ = call("statement", "verify", file, "--jwks", fetched["jwks"], "--json")
    faults = {(fault["kind"], fault["what"]) for fault in json.loads(said)["faults"]}
    assert status == 1
    assert {("removed", ids[3]), ("changed", ids[1]), ("added", "rcpt_invented")} <= faults


def test_checkpoints_are_compared(fetched: dict[str, Any], tmp_path: Path) -> None:
    told = json.loads(fetched["statement"].read_text())
    kept = tmp_path / "checkpoint"
    kept.write_text(told["checkpoint"])
    common = ("statement", "verify", fetched["statement"], "--jwks", fetched["jwks"], "--checkpoint", kept)
    assert call(*common)[0] == 0
    kept.write_text(told["checkpoint"].replace("\n5\n", "\n6\n"))
    status, said, _ = call(*common)
    assert status == 1 and "signature" in said
    claims = unverified_claims(told["jws"])
    claims["log"]["root"] = "0" * 64
    forked = tmp_path / "forked.json"
    forked.write_text(
        json.dumps({**told, "jws": HostKeys.open(tmp_path / "store").sign(claims, STATEMENT_TYP)})
    )
    status, said, _ = call("statement", "verify", forked, "--jwks", fetched["jwks"])
    assert status == 1 and "log of 5 rows has another root" in said


def test_wrong_files_are_one_line(fetched: dict[str, Any], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    for wrong in (
        ("receipt", "verify", empty, "--jwks", fetched["jwks"]),
        ("receipt", "verify", fetched["statement"], "--jwks", empty),
        ("receipt", "verify", fetched["statement"], "--jwks", fetched["statement"]),
        ("receipt", "verify", fetched["statement"], "--jwks", "http://127.0.0.1:1"),
        ("statement", "verify", fetched["jwks"], "--jwks", fetched["jwks"]),
    ):
        status, _, said = call(*wrong)
        assert status == 2 and said.startswith("kvproxy: ") and said.count("\n") == 1, said


def test_catalog_and_quote(fetched: dict[str, Any]) -> None:
    status, told, _ = fetched["catalog"]
    assert status == 0 and told.startswith(
        "handbook-acme@3  1,000 tokens  by acme  fake: 0.0005 USD a read, cold 0.005"
    )
    status, _, said = fetched["quote"]
    assert status == 1 and "nothing@1" in said


def test_host_keys_are_listed_and_rotated(tmp_path: Path) -> None:
    first = json.loads(call("host-key", "list", "--store", tmp_path, "--json")[1])
    assert len(first["keys"]) == 1
    assert "signs from" in call("host-key", "rotate", "--store", tmp_path)[1]
    status, told, _ = call("host-key", "list", "--store", tmp_path)
    assert status == 0 and len(told.splitlines()) == 2 and "the beginning" in told
    private = [json.loads(p.read_text())["d"] for p in (tmp_path / "host-keys").glob("*.jwk")]
    assert len(private) == 2 and not any(one in told + json.dumps(first) for one in private)
