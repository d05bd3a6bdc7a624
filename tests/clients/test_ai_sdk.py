"""The example for the AI SDK, run by Node as its README says: against the fake proxy, and against the real one over
each of its three packages."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.javascript import node
from tests.e2e.served import Served
from tests.e2e.texts import document
from tests.fake_proxy import running

EXAMPLE = Path(__file__).parents[2] / "examples" / "ai-sdk"
KEY = "key-of-the-ai-sdk-tenant"
LIMIT_S = 300

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S + 120)]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("texts") / "license.txt"
    path.write_text(document("ai sdk", 3_000), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def proxy(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = {"server": {"api_keys": [{"name": "ai-sdk", "key": KEY}]}, "model": {"name": "smol"}}
    with Served(tmp_path_factory.mktemp("ai-sdk"), smollm2, config) as proxy:
        yield proxy


def ask(url: str, text: str, dialect: str) -> str:
    """Returns the text that it printed."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = subprocess.run(
        [str(node()), "ask.js", text, dialect],
        cwd=EXAMPLE,
        env={**kept, "KVPROXY_BASE_URL": url, "KVPROXY_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shares(printed: str) -> list[float]:
    return [tokens / prompt for tokens, prompt in counts(printed)]


def cached(printed: str) -> list[int]:
    return [tokens for tokens, _ in counts(printed)]


def counts(printed: str) -> list[tuple[int, int]]:
    """Cached tokens and all of the prompt's, of each of the three questions."""
    told = re.findall(r"^(\d+) of (\d+) prompt tokens were cached", printed, re.MULTILINE)
    assert len(told) == 3, printed
    return [(int(tokens), int(prompt)) for tokens, prompt in told]


def test_against_the_fake(text: str) -> None:
    with running() as fake:
        printed = ask(fake.url, text, "openai-compatible")
        assert min(shares(printed)) > 0.9, printed
        assert 'tool: lookUp({"section":"preamble"})' in printed, printed
        assert "whole: no" in printed and "streamed: no" in printed, printed
        assert fake.documents == {}, "the example left its document behind"


@pytest.mark.e2e
@pytest.mark.parametrize("dialect", ["openai-compatible", "openai", "anthropic"])
def test_against_the_model(proxy: Served, text: str, dialect: str) -> None:
    printed = ask(f"{proxy.url}/v1", text, dialect)
    published = re.search(r"^published: .*, (\d+) tokens", printed, re.MULTILINE)
    assert published is not None, printed
    # The published document, each time; how much stands behind it is the model's to say.
    assert min(cached(printed)) > 0.95 * int(published[1]), printed
    assert re.search(r'^tool: lookUp\(\{"section":"(preamble|terms)"\}\)', printed, re.MULTILINE), printed
