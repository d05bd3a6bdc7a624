"""vLLM's own router as a child process, from the environment that ``make fleet-peers`` makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kvproxy.bench.private_postgres import free_port
from kvproxy.bench.server_process import Child
from kvproxy.bench.vllm_server import answers


def vllm_router(
    command: Path, workers: Sequence[str], folder: Path, *, policy: str = "consistent_hash"
) -> Child:
    """Make a router in front of ``workers``; ``command`` is the program ``vllm-router``.

    Example: ``vllm_router(Path(".fleet-peers/bin/vllm-router"), ["http://127.0.0.1:8000"], folder)``
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("--host", "127.0.0.1", "--port", str(port), "--policy", policy, "--log-level", "error")
    metrics = ("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()))
    whole = (str(command.absolute()), *arguments, *metrics, "--worker-urls", *workers)
    return Child(
        "vllm-router", whole, lambda: url if answers(f"{url}/health") else None, folder, own_group=True
    )
