"""Documents, keys and requests of a busy host, for pictures that show what a view is for."""

from __future__ import annotations

import time

from tests.browser.staged_proxy import HANDBOOK, StagedProxy, document_part, rules
from tests.e2e.fake_fleet import FLEET

AGENTS = ("OpenAI/Python 2.54.0", "claude-cli/2.1.4", "langchain-kvproxy/0.2.0", "codex_cli_rs/0.61.0")

PUBLIC = {
    "acme/returns": "Returns and refunds, all countries",
    "acme/support/on-call": "On call: who, when, how",
    "dana/reading-list": "The reading list of the library",
}


def publish_more(staged: StagedProxy) -> None:
    """Publish what everybody may read, a second version, a pinned document, and make keys with labels."""
    for id, title in PUBLIC.items():
        staged.publish(id.partition("/")[0], id, rules(title, 20 + 2 * len(id)), visibility="public")
    staged.publish("acme", "acme/handbook", rules("The handbook of Acme", 30), pinned=True)
    staged.post("acme", "/kv/v1/documents/acme/handbook/verify", {})
    staged.grant("acme", "acme/support", "dana")
    for tenant, label in (("robin", "nightly report"), ("robin", "help desk"), ("dana", "catalogue agent")):
        staged.post("operator", "/kv/v1/keys", {"tenant": tenant, "label": label, "scopes": ["read"]})


def run_traffic(staged: StagedProxy, minutes: float) -> None:
    """Send requests for some minutes: mostly hits, and misses of six causes."""
    ends, round_ = time.monotonic() + 60 * minutes, 0
    while time.monotonic() < ends:
        _one_round(staged, round_)
        round_ += 1


def _one_round(staged: StagedProxy, round_: int) -> None:
    named = ("acme/handbook", *PUBLIC)
    for place, name in enumerate(named):
        reader = ("robin", "dana")[(place + round_) % 2] if place else "robin"
        staged.ask(reader, document_part(name), max_tokens=12, agent=AGENTS[(place + round_) % len(AGENTS)])
    for name in tuple(PUBLIC)[: 1 + round_ % 3]:
        staged.ask("dana", document_part(name), model=FLEET, agent=AGENTS[round_ % len(AGENTS)])
    causes = (
        f"Today is 2026-12-{1 + round_ % 28:02}, 09:{round_ % 60:02}.\n{rules('Notes of robin', 16)}",
        f"Session 3f0e{round_:04}-9d1c-4c7a-8f52-0b6e1d2a{round_:04}\n{rules('Duties of the desk', 14)}",
        HANDBOOK.replace("payroll office", "office of payroll"),
        HANDBOOK.replace("\n\n", "\r\n\r\n"),
        f"Be brief, please: it is attempt {round_}.",
    )
    staged.ask("robin", causes[round_ % len(causes)], agent=AGENTS[1])
    if round_ % 4 == 3:
        staged.ask("acme", document_part("acme/prices"), kv_reuse="none", agent=AGENTS[0])
