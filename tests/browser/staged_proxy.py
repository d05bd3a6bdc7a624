"""`staged_proxy`: a proxy on the real small model and a fake fleet, with documents, reads and misses to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.fake_fleet import FLEET, FakeFleet
from tests.e2e.served import Served

MODEL = "smollm2-135m"

KEYS = {name: f"key-of-{name}-0123456789abcdef" for name in ("operator", "acme", "robin", "dana", "visitor")}
"""API keys by tenant: the operator's has every scope, robin's may read alone, the visitor may read nothing yet."""

_SCOPES = {
    "operator": ["read", "publish", "ledger", "metrics", "admin"],
    "acme": ["read", "publish", "ledger"],
    "robin": ["read", "ledger"],
    "dana": ["read", "publish", "ledger"],
    "visitor": ["read", "publish"],
}

TARIFF = f"""\
currency: USD
tariffs:
  - valid_from: 2026-01-01
    models:
      {MODEL}: {{input: "5", output: "15", publishing: "0"}}
      {FLEET}: {{input: "2", output: "6", publishing: "0"}}
    documents: {{price: 30%, publisher_share: 80%}}
"""

_SENTENCES = (
    "Whoever works from another country for longer than {n} days tells the payroll office before leaving.",
    "A refund above {n} euros is approved by the head of the shop, and by nobody else.",
    "Parcels that come back after {n} days are credited to the customer's account, without the postage.",
    "The on-call engineer answers within {n} minutes, by day and by night, and writes down what was done.",
    "Room {n} may be booked for half a day at a time; who does not appear loses the room after a quarter.",
)


def rules(title: str, paragraphs: int) -> str:
    """Return a text of about 27 tokens a paragraph, which differs from any other title's in its first line.

    Example: ``rules("The handbook", 20)``
    """
    lines = (f"{i}. {_SENTENCES[i % len(_SENTENCES)].format(n=3 * i + 2)}" for i in range(1, paragraphs + 1))
    return "\n\n".join((title, *lines)) + "\n"


HANDBOOK = rules("The handbook of Acme", 24)
QUESTION = "Who approves a refund?"


@dataclass(frozen=True)
class StagedProxy:
    """The running proxy, and what a client does with it."""

    url: str
    fleet: FakeFleet

    def post(self, tenant: str, path: str, body: dict[str, Any], agent: str = "agent/1.4") -> dict[str, Any]:
        """Post as a tenant, with a program's name; a refusal fails the test."""
        headers = {"Authorization": f"Bearer {KEYS[tenant]}", "User-Agent": agent}
        answer = httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=120, trust_env=False)
        assert answer.is_success, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def publish(self, tenant: str, id: str, text: str, **fields: Any) -> None:
        """Publish a text for the tenants that a grant lets in."""
        self.post(tenant, "/kv/v1/documents", {"id": id, "text": text, "visibility": "granted", **fields})

    def grant(self, publisher: str, document: str, reader: str) -> None:
        """Let a tenant read a document of another one."""
        self.post(publisher, "/kv/v1/grants", {"document": document, "reader": "tenant", "id": reader})

    def ask(
        self,
        tenant: str,
        system: str | Sequence[dict[str, str]],
        *,
        agent: str = "agent/1.4",
        **fields: Any,
    ) -> dict[str, Any]:
        """Ask the question about a system text, or about parts such as `document_part`."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": QUESTION}]
        body = {"model": MODEL, "messages": messages, "max_tokens": 6, "temperature": 0, **fields}
        return self.post(tenant, "/v1/chat/completions", body, agent)


def document_part(name: str) -> list[dict[str, str]]:
    """Return the content that names a document in place of its text."""
    return [{"type": "kv_document", "document": name}]


def _config(folder: Path, fleet: FakeFleet) -> dict[str, Any]:
    tariff = folder / "tariff.yaml"
    tariff.write_text(TARIFF, encoding="utf-8")
    keys = [{"name": name, "key": key, "scopes": _SCOPES[name]} for name, key in KEYS.items()]
    return {
        "model": {"name": MODEL},
        "server": {"api_keys": keys},
        "tariff": str(tariff),
        "billing": {"default_credit": "1000"},
        "fleets": [fleet.config()],
    }


@contextmanager
def staged_proxy(folder: Path, model: Path) -> Iterator[StagedProxy]:
    """Serve until the block ends. ``model``: SmolLM2's folder.

    Example: ``with staged_proxy(tmp_path, smollm2) as staged: staged.ask("robin", "Hello")``
    """
    with (
        FakeFleet(model, "gpu-rack-1", "gpu-rack-2") as fleet,
        Served(folder, model, _config(folder, fleet)) as served,
    ):
        staged = StagedProxy(served.url, fleet)
        furnish(staged)
        yield staged


def furnish(staged: StagedProxy) -> None:
    """Publish documents that a visitor may not read, let robin and acme hit and miss, and ask the fleet."""
    staged.publish("acme", "acme/handbook", HANDBOOK)
    staged.publish("acme", "acme/prices", rules("Prices of Acme, autumn", 12), visibility="private")
    staged.grant("acme", "acme/handbook", "robin")
    for _ in range(2):
        staged.ask("robin", document_part("acme/handbook"))
    staged.ask("acme", document_part("acme/prices"))
    staged.ask("acme", document_part("acme/prices"), kv_reuse="none")
    for day in (29, 30):
        staged.ask("robin", f"Today is 2026-11-{day}.\n{rules('Notes of robin', 16)}")
    staged.ask("robin", "Be brief.")
    staged.publish("operator", "ops/runbook", rules("The operator's own runbook", 6), visibility="private")
    for tenant, name in (("acme", "acme/handbook"), ("acme", "acme/handbook"), ("operator", "ops/runbook")):
        staged.ask(tenant, document_part(name), model=FLEET)
