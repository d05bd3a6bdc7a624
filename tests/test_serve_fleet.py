"""A process that serves a fleet alone: what it imports until it listens, and that it answers. The replica is a fake."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.fake_replica.replica_text import ModelText
from tests.documents.models import write_model

HEAVY = ("litellm", "openai", "torch", "transformers")
"""Libraries that take seconds to import, and of which a proxy with fleets alone needs none to answer a hit."""

PROGRAM = f"""
import json, sys
from pathlib import Path
from kvproxy.config import load_config
from kvproxy.serve import run_server

def announce(host, port):
    there = [name for name in {HEAVY} if name in sys.modules]
    print(json.dumps({{"port": port, "heavy": there}}), flush=True)

async def ended(stack):
    print(json.dumps({{"torch": "torch" in sys.modules}}), flush=True)

config = load_config(Path(sys.argv[1]))
sys.exit(run_server(config, announce=announce, progress=lambda done, total: None, ended=ended))
"""

TEXT = "The handbook says how requests are answered, and by whom, in order of their arrival. " * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "smollm2-like")


@asynccontextmanager
async def serving(folder: Path, store: Path) -> AsyncIterator[tuple[str, dict[str, Any], Any]]:
    """Serve one replica's fleet in a process; yield its URL, what it said when it listened, and the process."""
    async with FakeReplica(ReplicaOptions(model="small"), text=ModelText.load(folder)) as replica:
        config = store / "kvproxy.yaml"
        fleet = {"name": "small", "model": str(folder), "replicas": [replica.url]}
        settings = {"server": {"port": 0}, "store": {"path": str(store / "store")}, "fleets": [fleet]}
        config.write_text(json.dumps(settings))  # YAML reads JSON
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, str(config)), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            said = json.loads(await process.stdout.readline())
            yield f"http://127.0.0.1:{said['port']}", said, process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_it_listens_without_torch_and_litellm_and_answers(folder: Path, tmp_path: Path) -> None:
    async with serving(folder, tmp_path) as (url, said, process), aiohttp.ClientSession(url) as http:
        assert said["heavy"] == []
        async with http.get("/health/ready") as ready:
            assert ready.status == 200
        async with http.get("/v1/models") as listed:
            assert [model["id"] for model in (await listed.json())["data"]] == ["small"]
        body = {"id": "handbook", "text": TEXT, "visibility": "public"}
        async with http.post("/kv/v1/documents", json=body) as published:
            assert published.status in (200, 201), await published.text()
        asked = {
            "model": "small",
            "messages": [{"role": "system", "content": TEXT}, {"role": "user", "content": "why?"}],
            "max_tokens": 4,
        }
        async with http.post("/v1/chat/completions", json=asked) as answered:
            usage = (await answered.json())["usage"]
            assert answered.status == 200 and "hit" in answered.headers["Cache-Status"]
            assert usage["prompt_tokens_details"]["cached_tokens"] > 0 == usage["completion_tokens"] - 4
        pageless = [
            ("GET", "documents/handbook/export"),
            ("GET", "documents/handbook/manifest"),
            ("POST", "check"),
        ]
        for method, path in pageless:
            async with http.request(method, f"/kv/v1/{path}") as refused:
                assert refused.status == 404 and "fleet" in await refused.text(), path
        process.send_signal(signal.SIGTERM)
        assert json.loads(await process.stdout.readline()) == {"torch": False}
        assert await process.wait() == 0


async def test_a_request_without_retention_is_no_hit_and_nothing_was_evicted_for_it(
    folder: Path, tmp_path: Path
) -> None:
    async with serving(folder, tmp_path) as (url, _, _), aiohttp.ClientSession(url) as http:
        body = {"id": "handbook", "text": TEXT, "visibility": "public"}
        async with http.post("/kv/v1/documents", json=body) as published:
            assert published.status == 201
        asked = {
            "model": "small",
            "messages": [{"role": "system", "content": TEXT}, {"role": "user", "content": "why?"}],
            "max_tokens": 4,
        }
        for streamed in (False, True):
            none = {"x-kvproxy-retention": "none"}
            async with http.post(
                "/v1/chat/completions", json={**asked, "stream": streamed}, headers=none
            ) as answered:
                told = [answered.headers["Cache-Status"]]
                text = await answered.text()
            told += [line for line in text.splitlines() if line.startswith(": Cache-Status")]
            assert len(told) == 1 + streamed
            for one in told:
                assert 'fwd=miss; key="handbook@1"; detail="not-resident; cause=other-salt"' in one
        async with http.post("/v1/chat/completions", json=asked) as answered:
            assert "; hit; " in answered.headers["Cache-Status"]
        async with http.get("/kv/v1/documents/handbook") as shown:
            assert (await shown.json())["reads"] == 1
