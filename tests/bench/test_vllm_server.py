from __future__ import annotations

import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest

from kvproxy.bench.vllm_server import VllmPlan, VllmPorts, answers, vllm_command, vllm_server
from kvproxy.errors import SetupError

PLAN = VllmPlan(Path("weights"), "smol", "1", blocks=320)


class Status(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_replica_tells_events_and_cached_tokens() -> None:
    command = vllm_command(Path("python"), PLAN, VllmPorts(8000, 8001, 8002))
    options = dict(pairwise(command))
    assert options["--prefix-caching-hash-algo"] == "sha256_cbor"
    assert options["--num-gpu-blocks-override"] == "320"
    assert "--enable-prompt-tokens-details" in command
    events = json.loads(options["--kv-events-config"])
    assert (events["endpoint"], events["replay_endpoint"]) == ("tcp://*:8001", "tcp://*:8002")
    assert events["enable_kv_cache_events"] is True
    assert json.loads(options["--structured-outputs-config"]) == {"backend": "guidance"}


def test_events_of_a_bench_stay_on_its_machine(tmp_path: Path) -> None:
    command = vllm_command(Path("python"), replace(PLAN, sockets=tmp_path), VllmPorts(8000, 8001, 8002))
    events = json.loads(dict(pairwise(command))["--kv-events-config"])
    assert (events["endpoint"], events["replay_endpoint"]) == (
        f"ipc://{tmp_path}/8001",
        f"ipc://{tmp_path}/8002",
    )


def test_ports_differ() -> None:
    ports = VllmPorts.free()
    assert len({ports.http, ports.events, ports.replay}) == 3


def test_without_vllm_it_says_what_installs_it(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"make \.fleet/\.ready"):
        vllm_server("replica-0", tmp_path / "python", PLAN, tmp_path)


def test_only_a_200_is_an_answer() -> None:
    server = HTTPServer(("127.0.0.1", 0), Status)
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        assert answers(f"{url}/health")
        assert not answers(f"{url}/other")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert not answers(f"{url}/health")
