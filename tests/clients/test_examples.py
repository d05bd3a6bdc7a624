"""Each example runs as a person would run it, with small settings, and says that it saved something."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.programs import CURRENT, run
from tests.e2e.served import Served

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(720)]

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "key-of-the-examples-tenant"
MODEL = "smol"
SAVED = re.compile(r"^saved: ([\d,]+) of ([\d,]+) prompt tokens were cached", re.M)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of about 1,000 tokens with numbered sections."""
    path = tmp_path_factory.mktemp("texts") / "license.txt"
    path.write_text(
        (EXAMPLES / "documents" / "apache-2.0.txt").read_text(encoding="utf-8")[:5_000], encoding="utf-8"
    )
    return str(path)


@pytest.fixture(scope="module")
def proxy(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = {"server": {"api_keys": [{"name": "examples", "key": KEY}]}, "model": {"name": MODEL}}
    with Served(tmp_path_factory.mktemp("examples"), smollm2, config) as proxy:
        yield proxy
        left = httpx.get(f"{proxy.url}/kv/v1/documents", headers={"authorization": f"Bearer {KEY}"}).json()
        assert left["data"] == [], "an example left documents behind"


def example(script: str, *arguments: str, **variables: str) -> str:
    """Run the example and return its output."""
    done = run(CURRENT, f"../../examples/{script}", *arguments, **variables)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def here(proxy: Served) -> dict[str, str]:
    return {"KVPROXY_BASE_URL": f"{proxy.url}/v1", "KVPROXY_API_KEY": KEY, "KVPROXY_MODEL": MODEL}


def shares(printed: str) -> list[float]:
    """Of the prompt tokens that came from the cache, for each time that it is told."""
    told = [[int(n.replace(",", "")) for n in pair] for pair in SAVED.findall(printed)]
    return [cached / prompt for cached, prompt in told]


def test_plain_openai(proxy: Served, text: str) -> None:
    printed = example("plain_openai.py", "--document", text, "--max-tokens", "8", **here(proxy))
    (share,) = shares(printed)
    assert share > 0.95, printed
    assert "by name: True" in printed, printed


def test_eight_agents(proxy: Served, text: str) -> None:
    """Most of the first round waits for the one that computes; all of the second round hits."""
    printed = example("eight_agents.py", "--handbook", text, "--max-tokens", "4", **here(proxy))
    first, second = shares(printed)
    assert first > 0.8 and second > 0.95, printed
    assert printed.count("collapsed") == 7, printed


def test_streaming_chat(proxy: Served, text: str) -> None:
    """ChatOpenAI and ChatKVProxy have the same conversation, and both are told what was cached."""
    printed = example("streaming_chat.py", "--document", text, "--max-tokens", "8", **here(proxy))
    stock, ours = shares(printed)
    assert stock > 0.95 and ours > 0.95, printed
    assert "the same conversation: True" in printed, printed


def test_langgraph_agent(proxy: Served, text: str) -> None:
    """Both questions make their round through the tool."""
    printed = example("langgraph_agent.py", "--document", text, "--max-tokens", "24", **here(proxy))
    (share,) = shares(printed)
    assert share > 0.7, printed
    assert printed.count("tool: ") == 2 and printed.count("model: section({'number':") == 2, printed


def test_folder_qa(proxy: Served) -> None:
    """The wrapped chain has the answers of the one that reuses nothing, and reuses more than the plain one."""
    arguments = ("--documents", "5", "--questions", "4", "--max-tokens", "6")
    printed = example("folder_qa.py", *arguments, **here(proxy))
    (share,) = shares(printed)
    rows = {
        m[1]: float(m[2])
        for m in re.finditer(r"^(plain|nothing reused|wrapped) .* ([\d.]+)% ", printed, re.M)
    }
    assert rows["nothing reused"] == 0.0 and rows["wrapped"] > max(rows["plain"], 30), printed
    assert share * 100 == pytest.approx(rows["wrapped"], abs=0.1), printed
    assert "equal answers, reused or not: 4 of 4" in printed, printed


def test_it_starts_a_proxy_of_its_own(smollm2: Path, text: str) -> None:
    command = f"{sys.executable} -m kvproxy"
    own = {
        "KVPROXY_BASE_URL": "",
        "KVPROXY_API_KEY": "",
        "KVPROXY_COMMAND": command,
        "KVPROXY_MODEL": str(smollm2),
    }
    printed = example("plain_openai.py", "--document", text, "--max-tokens", "4", **own)
    (share,) = shares(printed)
    assert share > 0.95, printed


def test_a_proxy_that_cannot_start_is_told_in_its_own_words() -> None:
    own = {
        "KVPROXY_BASE_URL": "",
        "KVPROXY_COMMAND": f"{sys.executable} -m kvproxy",
        "KVPROXY_MODEL": "/no/model",
    }
    done = run(CURRENT, "../../examples/plain_openai.py", **own)
    assert done.returncode == 1
    assert "did not start" in done.stderr and "/no/model" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_no_proxy_is_told_in_one_line() -> None:
    done = run(CURRENT, "../../examples/plain_openai.py", KVPROXY_BASE_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "kvproxy serve" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_all_examples_are_here() -> None:
    """Every program has a test of its name above or one of its own, and a row in the table."""
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    programs = sorted(path.stem for path in EXAMPLES.glob("[!_]*.py"))
    assert programs == sorted(re.findall(r"^\| `(\w+)\.py` \|", table, re.M))
    elsewhere = ["fleet", "market"]  # tests/e2e/test_fleet_example.py, test_market_example.py
    assert [name for name in programs if f"test_{name}" not in globals()] == elsewhere
