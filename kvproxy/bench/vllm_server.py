"""`vllm_server`: a real vLLM replica as a child process, from its own environment, as docs/scale.md starts one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from kvproxy.bench.private_postgres import free_port
from kvproxy.bench.server_process import Child
from kvproxy.errors import SetupError

FLEET_PYTHON = Path(".fleet/bin/python")
"""The interpreter of the environment that ``make fleet`` installs vLLM into, from the checkout."""
START_S = 600.0
BLOCK_TOKENS = 32


@dataclass(frozen=True, slots=True)
class VllmPlan:
    """The size of one replica, and the cores that it runs on."""

    model: Path
    """A folder as transformers reads it."""
    served_name: str
    cores: str
    """As VLLM_CPU_OMP_THREADS_BIND takes them: ``0`` or ``0-3``."""
    kv_gib: int = 1
    blocks: int | None = None
    """The number of KV blocks; None: as many as ``kv_gib`` has room for."""
    max_context: int = 4096
    most_at_once: int = 16
    sockets: Path | None = None
    """The folder of the sockets of its events, which carry prompts in clear; None: TCP ports of every address."""


@dataclass(frozen=True, slots=True)
class VllmPorts:
    """The three ports of one replica."""

    http: int
    events: int
    replay: int

    @classmethod
    def free(cls) -> VllmPorts:
        """Find three that nobody has at this moment."""
        return cls(free_port(), free_port(), free_port())


def vllm_command(python: Path, plan: VllmPlan, ports: VllmPorts) -> tuple[str, ...]:
    """Write the command line of a replica on loopback. ``vllm serve`` looks for a distribution of the name vllm, and
    the CPU build has another one.

    Example: ``vllm_command(FLEET_PYTHON, plan, VllmPorts.free())``
    """
    # vLLM binds TCP to all addresses or to none: it connects to one that is written out.
    begin = "tcp://*:" if plan.sockets is None else f"ipc://{plan.sockets.absolute()}/"
    events = {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": f"{begin}{ports.events}",
        "replay_endpoint": f"{begin}{ports.replay}",
        "topic": f"kv@127.0.0.1:{ports.http}@{plan.served_name}",
    }
    command = [str(python.absolute()), "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(plan.model), "--served-model-name", plan.served_name, "--dtype", "bfloat16"]
    command += ["--host", "127.0.0.1", "--port", str(ports.http), "--enforce-eager"]
    command += ["--max-model-len", str(plan.max_context), "--max-num-seqs", str(plan.most_at_once)]
    command += [
        "--block-size",
        str(BLOCK_TOKENS),
        "--enable-prefix-caching",
        "--enable-prompt-tokens-details",
    ]
    command += ["--structured-outputs-config", json.dumps({"backend": "guidance"})]
    command += ["--prefix-caching-hash-algo", "sha256_cbor", "--kv-events-config", json.dumps(events)]
    if plan.blocks is not None:
        command += ["--num-gpu-blocks-override", str(plan.blocks)]
    return tuple(command)


def vllm_server(name: str, python: Path, plan: VllmPlan, folder: Path) -> Child:
    """Make a replica that is ready once it answers ``/health``. Caches can be reset (development mode). Raises
    SetupError where there is no such interpreter.

    Example: ``with vllm_server("replica-0", FLEET_PYTHON, plan, folder) as replica: print(replica.url)``
    """
    if not python.exists():
        raise SetupError(f"there is no {python}; `make .fleet/.ready` installs vLLM there (once; some 2 GB)")
    ports = VllmPorts.free()
    url = f"http://127.0.0.1:{ports.http}"
    env = {
        "VLLM_CPU_OMP_THREADS_BIND": plan.cores,
        "VLLM_CPU_KVCACHE_SPACE": str(plan.kv_gib),
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": "",
    }
    command = vllm_command(python, replace(plan, sockets=folder), ports)
    return Child(
        name,
        command,
        lambda: url if answers(f"{url}/health") else None,
        folder,
        env=env,
        start_s=START_S,
        own_group=True,
    )


def answers(url: str) -> bool:
    """Whether a GET of ``url`` is answered with 200 within a second."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=1.0) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
