"""The LangChain package's own tests, LangChain's standard suites among them, against the real small model."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.programs import CURRENT, python_of
from tests.e2e.served import Served
from tests.e2e.texts import document

PACKAGE = Path(__file__).parents[2] / "integrations" / "langchain"
KEY = "key-of-the-langchain-tenant"
MODEL = "smol"
LIMIT_S = 900

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def proxy(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = {
        "server": {"api_keys": [{"name": "langchain", "key": KEY}]},
        "model": {"name": MODEL},
    }
    with Served(tmp_path_factory.mktemp("langchain"), smollm2, config) as proxy:
        published = httpx.post(
            f"{proxy.url}/kv/v1/documents",
            json={"id": "handbook", "text": document("handbook", 6_000)},
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=120,
        )
        assert published.status_code == 201, published.text
        yield proxy


def run(folder: str, **variables: str) -> str:
    """pytest's summary line."""
    done = subprocess.run(
        [str(python_of(CURRENT)), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{folder}"],
        cwd=PACKAGE,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), **variables},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    summary = re.findall(r"^.*\d+ passed.*$", done.stdout, re.MULTILINE)
    assert summary, done.stdout
    return str(summary[-1])


@pytest.mark.timeout(LIMIT_S + 20)
def test_unit_tests() -> None:
    assert "passed" in run("unit_tests")


@pytest.mark.e2e
@pytest.mark.timeout(LIMIT_S + 300)
def test_integration_tests(proxy: Served) -> None:
    variables = {"KVPROXY_BASE_URL": f"{proxy.url}/v1", "KVPROXY_API_KEY": KEY, "KVPROXY_MODEL": MODEL}
    assert "passed" in run("integration_tests", **variables)
