"""litellm as a user installs it: some releases fail on every call with ``tools=`` unless an extra is there too,
which an environment with the test tools in it would hide."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROBE = Path(__file__).with_name("litellm_tools_probe.py")


@pytest.fixture(scope="module")
def clean_python(pytestconfig: pytest.Config) -> Path:
    """A virtual environment with litellm at our pin and nothing else of ours; kept between runs."""
    constraints = ROOT / "constraints.txt"
    digest = hashlib.sha256(constraints.read_bytes()).hexdigest()[:12]
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir(f"litellm-{digest}") / "venv"
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-c", str(constraints), "litellm"], check=True)
        ready.touch()
    return python


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_call_with_tools_works(clean_python: Path) -> None:
    bare = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run([clean_python, PROBE], capture_output=True, text=True, env=bare, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("OK")
