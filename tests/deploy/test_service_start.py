"""A real `kvproxy serve` as systemd and the fleet's image start it: notified of, with credentials, without the engine's
libraries, and with memory that cannot be made executable. The replica is a fake."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from deploy.fleet_requirements import ENGINE
from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.fake_replica.replica_text import ModelText
from tests.documents.models import write_model

PROGRAM = f"""
import ctypes, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(ENGINE)!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)

sys.meta_path.insert(0, Absent())
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE; kernels before 6.3 refuse it
from kvproxy.cli.app import app
app()
"""
KEY = "hidden-key-of-alice"


async def received(bound: socket.socket) -> list[str]:
    text = (await asyncio.wait_for(asyncio.get_running_loop().sock_recv(bound, 4096), 150)).decode()
    return text.split("\n")


def settings(folder: Path, replica: str, model: Path) -> Path:
    credentials = folder / "credentials"
    credentials.mkdir()
    (credentials / "alice").write_text(f"{KEY}\n")
    file = folder / "kvproxy.yaml"
    config = {
        "server": {"port": 0, "api_keys": [{"name": "alice", "key": "${credential:alice}"}]},
        "store": {"path": str(folder / "store")},
        "fleets": [{"name": "small", "model": str(model), "replicas": [replica], "events": "off"}],
    }
    file.write_text(json.dumps(config))  # YAML reads JSON
    return file


@pytest.mark.timeout(400)
async def test_it_tells_its_states_and_reads_its_credentials(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "smollm2-like")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.setblocking(False)
        async with FakeReplica(ReplicaOptions(model="small"), text=ModelText.load(model)) as replica:
            config = settings(tmp_path, replica.url, model)
            environ = {
                **{name: value for name, value in os.environ.items() if not name.startswith("KVPROXY")},
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "500000",
                "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
            }
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", PROGRAM, "serve", "--config", str(config)),
                *("--announce-file", str(tmp_path / "url")),
                env=environ,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                said = [await received(bound) for _ in range(3)]
                assert said[0] == ["STATUS=finding the files of small"]
                assert said[1] == ["STATUS=loading small"]
                assert said[2][0] == "READY=1" and said[2][1].startswith("STATUS=serving on 127.0.0.1 port ")
                assert await received(bound) == ["WATCHDOG=1"]
                await answers((tmp_path / "url").read_text().strip())
                process.send_signal(signal.SIGTERM)
                while (told := await received(bound)) == ["WATCHDOG=1"]:
                    pass
                assert told == ["STOPPING=1", "STATUS=shutting down; 0 requests still running"]
                _, printed = await asyncio.wait_for(process.communicate(), 100)
                assert process.returncode == 0 and KEY.encode() not in printed, printed.decode()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def answers(url: str) -> None:
    asked = {"model": "small", "messages": [{"role": "user", "content": "why?"}], "max_tokens": 4}
    async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {KEY}"}) as http:
        async with http.get("/health/ready") as ready:
            assert ready.status == 200
        async with http.post("/v1/chat/completions", json=asked) as answered:
            assert answered.status == 200, await answered.text()
        async with http.get("/v1/models", headers={"Authorization": "Bearer wrong"}) as refused:
            assert refused.status == 401
