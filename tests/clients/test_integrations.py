"""The small packages under integrations/: their own tests against the fake proxy, then against the real small model."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.programs import CURRENT, OPENAI2, python_of
from tests.e2e.served import Served
from tests.e2e.texts import document
from tests.fake_proxy import running

INTEGRATIONS = Path(__file__).parents[2] / "integrations"
KEY = "key-of-the-integrations-tenant"
MODEL = "smol"
LIMIT_S = 900

PACKAGES = {"llama-index": OPENAI2, "openai-agents": CURRENT, "pydantic-ai": CURRENT}


@pytest.fixture(scope="module")
def proxy(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = {"server": {"api_keys": [{"name": "integrations", "key": KEY}]}, "model": {"name": MODEL}}
    with Served(tmp_path_factory.mktemp("integrations"), smollm2, config) as proxy:
        published = httpx.post(
            f"{proxy.url}/kv/v1/documents",
            json={"id": "handbook", "text": document("handbook", 6_000)},
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=240,
        )
        assert published.status_code == 201, published.text
        yield proxy


def run(package: str, *arguments: str, **variables: str) -> str:
    """Returns what a Python of the package's environment printed, in the package's folder. Nothing of this machine's
    settings reaches it."""
    done = subprocess.run(
        [str(python_of(PACKAGES[package])), *arguments],
        cwd=INTEGRATIONS / package,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "PYTHONDONTWRITEBYTECODE": "1", **variables},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def run_tests(package: str, folder: str, **variables: str) -> None:
    printed = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{folder}", **variables)
    assert re.search(r"^\d+ passed", printed, re.MULTILINE), printed


def here(proxy: Served) -> dict[str, str]:
    return {"KVPROXY_BASE_URL": f"{proxy.url}/v1", "KVPROXY_API_KEY": KEY}


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 20)
@pytest.mark.parametrize("package", PACKAGES)
def test_unit_tests(package: str) -> None:
    with running() as fake:
        run_tests(package, "unit_tests", KVPROXY_BASE_URL=fake.url)


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 300)
@pytest.mark.parametrize("package", PACKAGES)
def test_integration_tests(proxy: Served, package: str) -> None:
    run_tests(package, "integration_tests", **here(proxy))


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 300)
@pytest.mark.parametrize("package", PACKAGES)
def test_example(proxy: Served, package: str, tmp_path: Path) -> None:
    """Asks twice of a text that it publishes, and leaves nothing behind."""
    text = tmp_path / "license.txt"
    text.write_text(document("example", 4_000), encoding="utf-8")
    printed = run(package, "examples/ask.py", str(text), **here(proxy))
    shares = re.findall(r"([\d,]+) of ([\d,]+) prompt tokens were cached", printed)
    assert len(shares) >= 2, printed
    for cached, prompt in shares:
        assert int(cached.replace(",", "")) > 0.8 * int(prompt.replace(",", "")), printed
    left = httpx.get(f"{proxy.url}/kv/v1/documents", headers={"authorization": f"Bearer {KEY}"}).json()
    assert [d["id"] for d in left["data"]] == ["handbook"]


def test_what_the_packages_share_is_the_same_in_each() -> None:
    """Each is installed by itself, so they carry copies; one that was changed alone fails here."""
    for name, count in (("_client.py", 3), ("documents.py", 2)):
        folders = ["openai-agents", "pydantic-ai"] + ["llama-index"] * (count - 2)
        copies = [path for folder in folders for path in (INTEGRATIONS / folder).rglob(name)]
        assert len(copies) == count
        assert len({path.read_bytes() for path in copies}) == 1, copies


def test_they_speak_http_only() -> None:
    for package in PACKAGES:
        for path in (INTEGRATIONS / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"^\s*(from|import) kvproxy\b", text, re.MULTILINE), path


@pytest.mark.parametrize("package", PACKAGES)
def test_they_are_kept_as_packages(package: str) -> None:
    folder = INTEGRATIONS / package
    assert (folder / "LICENSE").read_bytes() == (INTEGRATIONS.parent / "LICENSE").read_bytes()
    assert len(list(folder.rglob("py.typed"))) == 1
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert f"pip install ./integrations/{package}" in readme
