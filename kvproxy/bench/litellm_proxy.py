"""litellm's own proxy, in an environment of its own: kvproxy needs the library only."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import yaml
from filelock import FileLock

from kvproxy.bench.server_process import Child
from kvproxy.errors import SetupError

VERSION = "1.105.3"

# What decides its speed; pip chooses the rest. httptools, which uvicorn would use if it were there, is in no
# extra of litellm's and made no difference.
REQUIREMENTS = (
    f"litellm[proxy]=={VERSION}",
    "aiohttp==3.14.5",
    "fastapi==0.165.0",
    "openai==2.54.0",
    "orjson==3.13.0",
    "pydantic==2.14.3",
    "starlette==1.10.0",
    "uvicorn==0.54.0",
    "uvloop==0.23.0; sys_platform != 'win32'",
)

PRODUCTION = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
}
"""As its production guide has it, and nothing fetched at start."""


def install(
    cache: Path, say: Callable[[str], None], run: Callable[[tuple[str, ...]], None] | None = None
) -> Path:
    """Return the ``litellm`` command, from ``cache`` or installed there now; ``run`` runs a command line. pip's own
    configuration decides where from. Raises SetupError.

    Example: ``install(default_cache_dir(), print)``
    """
    run = run or _run
    folder = cache / "bench" / f"litellm-proxy-{VERSION}"
    command, done = folder / "bin" / "litellm", folder / "complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(folder.name + ".lock")):
        if done.exists() and command.exists():
            return command
        say(f"installing litellm[proxy]=={VERSION} into {folder} (once; some 750 MB)")
        shutil.rmtree(folder, ignore_errors=True)
        run((sys.executable, "-m", "venv", str(folder)))
        pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check")
        run((*pip, "--quiet", *REQUIREMENTS))
        done.touch()
    return command


def litellm_proxy(command: Path, folder: Path, *, upstream: str, model: str, key: str) -> Child:
    """One worker, as kvproxy is one process; ``key`` is the only one it lets in. ``upstream`` ends in ``/v1``.

    Example: ``litellm_proxy(command, folder, upstream=f"{url}/v1", model="up-1", key="sk-1")``
    """
    params = {"model": f"openai/{model}", "api_base": upstream, "api_key": key}
    config = {
        "model_list": [{"model_name": model, "litellm_params": params}],
        "general_settings": {"master_key": key},
    }
    file = folder / "litellm.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    return Child(
        "litellm-proxy",
        (str(command.absolute()), *arguments, "--telemetry", "False"),
        lambda: url if _alive(url) else None,
        folder,
        env=PRODUCTION,
    )


def _run(command: tuple[str, ...]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise SetupError(
            "litellm's proxy could not be installed (--no-litellm-proxy leaves it out, --litellm PATH names "
            f"one that is there): {said[-1] if said else f'status {done.returncode}'}"
        )


def _free_port() -> int:
    """Find a free port: litellm's proxy takes a number only, and never reports the one that it took for 0."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _alive(url: str) -> bool:
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(f"{url}/health/liveliness", timeout=1.0) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
