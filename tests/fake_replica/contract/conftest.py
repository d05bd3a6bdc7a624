"""The replicas that the contract is asked of: the fake one always, a real vLLM where KVPROXY_VLLM_PYTHON names an
interpreter that has it (``make fleet-contract``)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.bench.server_process import Child
from kvproxy.bench.vllm_server import VllmPlan, VllmPorts, answers, vllm_command
from kvproxy.fake_replica.replica_text import ModelText
from tests.fake_replica.contract.asked_replica import BLOCK, BLOCKS, CONTEXT, KEY, MODEL, AskedReplica

PYTHON = os.environ.get("KVPROXY_VLLM_PYTHON")
KINDS = ("fake", "vllm") if PYTHON else ("fake",)


@pytest.fixture(scope="session", params=KINDS)
def replica(
    request: pytest.FixtureRequest, smollm2: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AskedReplica]:
    """A running replica; one of each kind for the whole session."""
    ports, folder = VllmPorts.free(), tmp_path_factory.mktemp(request.param)
    command, env = (fake if request.param == "fake" else real)(smollm2, ports)
    url = f"http://127.0.0.1:{ports.http}"
    server = Child(
        request.param,
        command,
        lambda: url if answers(f"{url}/health") else None,
        folder,
        env=env,
        start_s=600.0,
        own_group=True,
    )
    with server, AskedReplica(url, ports) as asked:
        yield asked


@pytest.fixture(scope="session")
def text(smollm2: Path) -> ModelText:
    """The model's tokenizer and template, as the proxy reads them."""
    return ModelText.load(smollm2)


def fake(model: Path, ports: VllmPorts) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", "kvproxy.fake_replica", "--tokenizer", str(model), "--model", MODEL]
    command += ["--port", str(ports.http), "--blocks", str(BLOCKS), "--block-size", str(BLOCK)]
    command += [
        "--max-model-len",
        str(CONTEXT),
        "--max-num-seqs",
        "16",
        "--api-key",
        KEY,
        "--enable-scale-out",
    ]
    command += [
        "--events-endpoint",
        f"tcp://*:{ports.events}",
        "--replay-endpoint",
        f"tcp://*:{ports.replay}",
    ]
    return command, {}


def real(model: Path, ports: VllmPorts) -> tuple[list[str], dict[str, str]]:
    assert PYTHON is not None
    plan = VllmPlan(model, MODEL, cores="0", blocks=BLOCKS, max_context=CONTEXT)
    command = [*vllm_command(Path(PYTHON), plan, ports), "--enable-scale-out", "--api-key", KEY]
    env = {
        "VLLM_CPU_OMP_THREADS_BIND": plan.cores,
        "VLLM_CPU_KVCACHE_SPACE": str(plan.kv_gib),
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": "",
    }
    return command, env
