"""Can I buy your KV cache? A host, a publisher and a reader who have never met, over real HTTP, in one command.

The publisher offers a document at a price. The reader has no account with money in it: it finds the document by the
hash of its text, is asked for a payment, signs at most the full price, and pays what the kept KV cost. Afterwards the
publisher proves both reads offline, from the host's public keys alone. The money is a test facilitator's.

    python examples/market.py
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from _proxy import BUNDLED_MODEL, command, read, started
from eth_account import Account

from kvproxy.client import payment_asked
from kvproxy.client.evm_payer import EvmPayer
from kvproxy.payments.facilitator_server import facilitator_server
from kvproxy.payments.local_facilitator import LocalFacilitator
from kvproxy.payments.token_asset import KNOWN_ASSETS
from kvproxy.receipts.canonical_jws import verify_claims
from kvproxy.receipts.receipt_claims import RECEIPT_TYP
from kvproxy.receipts.statement_check import check_statements

DOCUMENT = "acme/license"
QUESTIONS = (
    "What does this license say about patents? Answer in one sentence.",
    "Who may use the trademarks of the Licensor?",
)
RECIPIENT = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
WALLET = b"a test wallet of nobody's money!"  # a private key: 32 bytes
KEYS = {
    "host": "key-of-the-host-0123456789",
    "acme": "key-of-the-publisher-0123456789",
    "robin": "key-of-the-reader-0123456789",
}

TARIFF = """\
currency: USD
tariffs:
  - valid_from: 2026-01-01
    models:
      {model}: {{input: "5", output: "15", publishing: "0"}}  # cached input: a tenth, and what the publisher asks
"""

CONFIG = """\
model: {{path: {model}}}
tariff: {folder}/tariff.yaml
server:
  api_keys:
    - {{name: host, key: {host}, scopes: [read, publish, ledger, metrics, admin]}}
    - {{name: acme, key: {acme}, scopes: [read, publish, ledger]}}
    - {{name: robin, key: {robin}, scopes: [read, ledger]}}
payments:
  methods: [evm, upto]
  recipient: "{recipient}"
  facilitator: {facilitator}
"""


@dataclass(frozen=True, slots=True)
class Reader:
    """The reader's program's own records: its receipts and payments."""

    receipts: list[str] = field(default_factory=list)
    paid: list[Decimal] = field(default_factory=list)
    settled: list[Decimal] = field(default_factory=list)
    cold: list[Decimal] = field(default_factory=list)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    arguments.add_argument("--document", default="apache-2.0.txt", help="a UTF-8 text")
    arguments.add_argument("--max-tokens", type=int, default=32, help="of each answer")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="kvproxy-market-") as folder, market(Path(folder)) as host:
        run(host, Path(folder), read(given.document), given.max_tokens)


def run(url: str, folder: Path, text: str, max_tokens: int) -> None:
    publish(url, text)
    reader = Reader()
    for number, question in enumerate(QUESTIONS, 1):
        buy(url, reader, hashlib.sha256(text.encode()).hexdigest(), question, number, max_tokens)
    with client(url, "robin") as http:
        rest = Decimal(checked(http.get("/kv/v1/balance"))["balance"]["amount"])
    assert rest == sum(reader.settled) - sum(reader.paid), rest
    saved = sum(reader.cold) - sum(reader.paid)
    say(
        "reader",
        f"paid {sum(reader.paid)} USD for two reads; cold they cost {sum(reader.cold)}: saved {saved}",
    )
    say("", f"what a whole unit of USDC was more than the price, {rest:f} USD, is in my balance")
    host_share = prove(url, reader)
    compare(url, folder, host_share)


def publish(url: str, text: str) -> None:
    """The publisher: one prefill, and a price of 30% of what each read saves."""
    price = {"kind": "share", "share": "30%", "publisher_share": "80%"}
    body = {
        "id": DOCUMENT,
        "text": text,
        "visibility": "public",
        "price": price,
        "licence": "answers may be quoted",
    }
    with client(url, "acme") as http:
        told = checked(http.post("/kv/v1/documents", json=body))
    say(
        "publisher",
        f"{DOCUMENT} is published: {told['info']['tokens']:,} tokens, for 30% of what a read saves",
    )


def buy(url: str, reader: Reader, sha256: str, question: str, number: int, max_tokens: int) -> None:
    """The reader: finds the document by its hash, is asked to pay, authorises at most the full price, and reads."""
    with client(url, "robin") as http:
        entry = checked(http.get("/kv/v1/catalog", params={"sha256": sha256}))["data"][0]
        if number == 1:
            price = entry["price"][BUNDLED_MODEL]
            say(
                "reader", f"the catalog has {entry['document']} by {entry['publisher']}, found by its sha256:"
            )
            say("", f"a read is {price['read']['amount']} USD, and {price['cold']['amount']} cold")
        head = [{"type": "kv_document", "document": entry["document"]}]
        messages = [{"role": "system", "content": head}, {"role": "user", "content": question}]
        body = {"model": BUNDLED_MODEL, "messages": messages, "max_tokens": max_tokens, "temperature": 0}
        wanted = {"x-kvproxy-receipt": "true"}
        asked = payment_asked(http.post("/v1/chat/completions", json=body, headers=wanted))
        signed = EvmPayer(WALLET, most="1").authorise(asked)
        answered = http.post("/v1/chat/completions", json=body, headers={**wanted, **signed})
    answer = checked(answered)
    cost, usage = answer["usage"]["cost"], answer["usage"]
    settled = json.loads(base64.b64decode(answered.headers["payment-response"]))
    most = json.loads(base64.b64decode(signed["PAYMENT-SIGNATURE"]))["accepted"]["amount"]
    say(
        "reader",
        f"read {number}: 402, authorised {tokens(most)} USDC, settled {tokens(settled['amount'])} USDC",
    )
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    say(
        "",
        f"{cached:,} of {usage['prompt_tokens']:,} tokens were kept; {cost['cost']} USD, cold {cost['cold_cost']}",
    )
    say("", f"“{' '.join(answer['choices'][0]['message']['content'].split())[:90]}…”")
    reader.receipts.append(cost["receipt"])
    reader.paid.append(Decimal(cost["cost"]))
    reader.settled.append(Decimal(tokens(settled["amount"])))
    reader.cold.append(Decimal(cost["cold_cost"]))


def prove(url: str, reader: Reader) -> Decimal:
    """The publisher: its statement beside the reader's receipts, by the host's public keys alone. Returns the host's
    part of the prices."""
    with client(url, "acme") as http:
        statement = checked(http.get("/kv/v1/statements"))
        jwks = checked(http.get("/.well-known/kvproxy.json"))["jwks"]
    found = check_statements(
        [statement["jws"]], reader.receipts, jwks
    )  # from here on nothing is asked of the host
    assert not found.faults, found.faults
    assert found.matched == len(reader.receipts) == 2
    claims = [verify_claims(receipt, RECEIPT_TYP, jwks).claims for receipt in reader.receipts]
    share = sum(Decimal(claim["publisher_share"]) for claim in claims)
    say("publisher", f"the statement lists {found.reads} reads, {statement['publisher_share']} USD for me")
    say("", f"both are proven offline: signatures, Merkle root, and {share} USD in the reader's own receipts")
    kept_back = check_statements([statement["jws"]], reader.receipts[:1], jwks).faults[0]
    say("", f"had the host made one up, the check would name it: {kept_back.kind} {kept_back.what[:17]}…")
    return sum((Decimal(claim["price"]) for claim in claims), Decimal(0)) - share


def compare(url: str, folder: Path, host_share: Decimal) -> None:
    """The host: what its ledger booked is what `kvproxy economics` computes and what the receipts say."""
    asked = [
        *command(),
        "economics",
        DOCUMENT,
        "--from-ledger",
        "--json",
        "--config",
        str(folder / "kvproxy.yaml"),
    ]
    asked += [
        "--url",
        url,
        "--api-key",
        KEYS["host"],
        "--model",
        BUNDLED_MODEL,
        "--store",
        str(folder / "store"),
    ]
    report = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    lines = {line["name"]: line["value"] for section in report["sections"] for line in section["lines"]}
    booked = Decimal(lines["host's share booked"]["amount"])
    assert booked == host_share, (booked, host_share)
    say(
        "host",
        f"my margin of the two reads is {booked} USD: in the ledger, in the receipts, by kvproxy economics",
    )


@contextmanager
def market(folder: Path) -> Iterator[str]:
    """A facilitator with test money on one port, and a host that takes payments through it on another."""
    asset = KNOWN_ASSETS["base-sepolia-usdc"]
    wallet = Account.from_key(WALLET).address
    with facilitator_server(LocalFacilitator(asset, {wallet: 5_000_000})) as facilitator:
        (folder / "tariff.yaml").write_text(TARIFF.format(model=BUNDLED_MODEL))
        config = CONFIG.format(
            model=BUNDLED_MODEL, folder=folder, recipient=RECIPIENT, facilitator=facilitator, **KEYS
        )
        (folder / "kvproxy.yaml").write_text(config)
        with started(folder, "--config", str(folder / "kvproxy.yaml")) as url:
            say(
                "host",
                f"serves {BUNDLED_MODEL} at {url}; a million input tokens are 5 USD, cached ones a tenth",
            )
            yield url


def client(url: str, party: str) -> httpx.Client:
    return httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {KEYS[party]}"}, timeout=600, trust_env=False
    )


def checked(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise SystemExit(
            f"{response.request.method} {response.url}: {response.status_code} {response.text[:400]}"
        )
    answer: dict[str, Any] = response.json()
    return answer


def tokens(units: str) -> str:
    return f"{Decimal(units) / 10**6:f}"


def say(party: str, text: str) -> None:
    print(f"{party:>10}  {text}")


if __name__ == "__main__":
    main()
