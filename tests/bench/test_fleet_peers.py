from __future__ import annotations

import subprocess
import sys

from kvproxy.bench import litellm_proxy
from kvproxy.bench.fleet_peers import ROUTER_VERSION, requirements


def test_the_program_prints_what_pip_reads() -> None:
    command = [sys.executable, "-m", "kvproxy.bench.fleet_peers"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert tuple(printed) == requirements()
    assert set(litellm_proxy.REQUIREMENTS) < set(printed)
    assert f"vllm-router=={ROUTER_VERSION}" in printed
