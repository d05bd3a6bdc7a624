"""Each of the real clients does its work through the proxy on the real small model, and every answer that it gets
is held against the published specification of its dialect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.programs import CURRENT, LIMIT_S, OPENAI2, OWN, run
from tests.clients.tap import Tap
from tests.e2e.served import Served
from tests.e2e.texts import document

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(LIMIT_S + 300)]

KEY = "key-of-the-clients-tenant"
MODEL = "smol"
TEXT = document("handbook", 6_000)

PROGRAMS = (
    ("openai_chat.py", CURRENT),
    ("openai_responses.py", CURRENT),
    ("openai_agents.py", CURRENT),
    ("langchain_chat.py", CURRENT),
    ("pydantic_ai_agent.py", CURRENT),
    ("anthropic_messages.py", CURRENT),
    ("llamaindex_like.py", OPENAI2),
    ("litellm_client.py", OWN),
)


@pytest.fixture(scope="module")
def proxy(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One published document, kept at the head of system and user messages and of plain prompts."""
    config = {
        "server": {"api_keys": [{"name": "clients", "key": KEY}]},
        "model": {"name": MODEL},
        "documents": {"framings": [{"place": "system"}, {"place": "user"}, {"place": "text"}]},
    }
    with Served(tmp_path_factory.mktemp("clients"), smollm2, config) as proxy:
        published = httpx.post(
            f"{proxy.url}/kv/v1/documents",
            json={"id": "handbook", "text": TEXT},
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=120,
        )
        assert published.status_code == 201, published.text
        yield proxy


@pytest.mark.parametrize(("script", "environment"), PROGRAMS, ids=[p[0] for p in PROGRAMS])
def test_program(proxy: Served, script: str, environment: str, tmp_path: Path) -> None:
    """A document question that hits, its cached tokens in the client's own words, and a tool round trip."""
    (tmp_path / "handbook.txt").write_text(TEXT, encoding="utf-8")
    with Tap(proxy.url) as tap:
        done = run(
            environment,
            f"programs/{script}",
            KVPROXY_URL=tap.url,
            KVPROXY_KEY=KEY,
            KVPROXY_MODEL=MODEL,
            HANDBOOK=str(tmp_path / "handbook.txt"),
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{proxy.log[-3000:]}"
        said = json.loads(done.stdout.splitlines()[-1])
        assert said["cached_tokens"] > 1_000, done.stdout
        assert said["tool_results"] >= 1, done.stdout
        tap.write(tmp_path / "exchanges.jsonl")
    _follows_the_specifications(tmp_path / "exchanges.jsonl")


def _follows_the_specifications(exchanges: Path) -> None:
    done = run(CURRENT, "spec/validate.py", str(exchanges))
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["faults"] == []
    assert sum(report["validated"].values()) > 0
