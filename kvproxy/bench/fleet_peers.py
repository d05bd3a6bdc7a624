"""``python -m kvproxy.bench.fleet_peers``: the requirements of what `kvproxy bench fleet-overhead` measures beside."""

from __future__ import annotations

import sys
from pathlib import Path

from kvproxy.bench import litellm_proxy

ROUTER_VERSION = "0.1.17"
PEERS_FOLDER = Path(".fleet-peers")
"""The environment that ``make fleet-peers`` makes, from the checkout."""


def requirements() -> tuple[str, ...]:
    """Return pip's requirements of litellm's proxy and of vllm-router, for one environment."""
    return (*litellm_proxy.REQUIREMENTS, f"vllm-router=={ROUTER_VERSION}")


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements()) + "\n")
