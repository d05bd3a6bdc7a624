"""The command over stdio, and without the extra."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from tests.fake_proxy import FakeProxy
from tests.mcp_server.conftest import call


async def test_it_speaks_over_stdio(proxy: FakeProxy, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two")
    arguments = [
        "-W",
        "error",
        "-m",
        "kvproxy",
        "mcp",
        "--url",
        proxy.url,
        "--root",
        str(tmp_path),
        "--allow-delete",
    ]
    async with Client(StdioServerParameters(command=sys.executable, args=arguments)) as client:
        await call(client, "publish_document", id="a", file="a.txt")
        assert (await call(client, "ask", question="q", documents=["a"]))["cached_tokens"] == 2
        await call(client, "delete_document", id="a")
    assert proxy.documents == {}


def test_it_ends_with_its_client(proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVPROXY_MCP_TOKEN", "of-another-server")
    done = run("mcp", "--url", proxy.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--root", "/nowhere"), "--root /nowhere is no folder"),
        (("--http", "0.0.0.0:1"), "clients must show a token"),
    ],
)
def test_what_cannot_start_is_one_sentence(options: tuple[str, ...], said: str) -> None:
    done = run("mcp", *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_without_the_sdk_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['mcp'] = None; from kvproxy.cli.app import app; app()"
    done = run("mcp", start=("-c", code))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "kvproxy: `kvproxy mcp` needs the MCP SDK, version 2: pip install 'kvproxy[mcp]'\n"


def run(*arguments: str, start: tuple[str, ...] = ("-m", "kvproxy")) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *start, *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
