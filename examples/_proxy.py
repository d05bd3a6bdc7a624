"""The proxy that the examples talk to: the one that KVPROXY_BASE_URL names, or one that lives as long as they do.

    with proxy() as kv:
        OpenAI(base_url=kv.base_url, api_key=kv.api_key)

| variable | |
| --- | --- |
| KVPROXY_BASE_URL | a running proxy, with or without /v1; without it one is started, with a store that is thrown away |
| KVPROXY_API_KEY | its API key, if it wants one |
| KVPROXY_MODEL | the model to ask for, or to serve (a folder, smollm2-135m or a hub name); default: smollm2-135m |
| KVPROXY_COMMAND | the command that starts a proxy; default: kvproxy beside this interpreter or on the PATH |
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

DOCUMENTS = Path(__file__).parent / "documents"
BUNDLED_MODEL = "smollm2-135m"
START_S, STOP_S = 600.0, 60.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    url: str
    """The proxy's root; its own API is at ``/kv/v1``."""
    model: str
    api_key: str = field(repr=False)

    @property
    def base_url(self) -> str:
        """OpenAI's API."""
        return f"{self.url}/v1"


@contextmanager
def proxy() -> Iterator[Endpoint]:
    given = os.environ.get("KVPROXY_BASE_URL", "")
    if given:
        yield _endpoint(given.rstrip("/").removesuffix("/v1"), os.environ.get("KVPROXY_MODEL"))
        return
    with tempfile.TemporaryDirectory(prefix="kvproxy-example-") as folder, started(Path(folder)) as url:
        yield _endpoint(url, None)


def read(name: str) -> str:
    """One of the texts that come with the examples, or a file of yours."""
    path = DOCUMENTS / name
    return (path if path.is_file() else Path(name)).read_text(encoding="utf-8").strip()


def _endpoint(url: str, model: str | None) -> Endpoint:
    """Request the models, so that a wrong address or key is reported here and in one line."""
    _no_http_proxy_to(url)
    key = os.environ.get("KVPROXY_API_KEY") or "none"
    try:
        answer = httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {key}"}, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPStatusError as e:
        raise SystemExit(f"{url} refused: {e.response.text}") from None
    except httpx.HTTPError as e:
        raise SystemExit(f"no proxy answers at {url} ({e}); start one with `kvproxy serve`") from None
    return Endpoint(url, model or answer.json()["data"][0]["id"], key)


def _no_http_proxy_to(url: str) -> None:
    """Exempt the URL's host from a company's HTTP proxy, which openai's client would use otherwise."""
    host = httpx.URL(url).host
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), host)))


@contextmanager
def started(folder: Path, *options: str) -> Iterator[str]:
    """A proxy of its own with everything in `folder`, and its URL. `options` are more of `kvproxy serve`."""
    announced, log_path = folder / "url", folder / "proxy.log"
    model = os.environ.get("KVPROXY_MODEL") or BUNDLED_MODEL
    serve = [*command(), "serve", "--model", model, "--port", "0"]
    serve += ["--store", str(folder / "store"), "--announce-file", str(announced), *options]
    print(f"starting a proxy with {model}", file=sys.stderr)
    with log_path.open("wb") as log, _terminated_is_interrupted():
        process = subprocess.Popen(serve, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait(process, announced, log_path)
            yield announced.read_text(encoding="utf-8").strip()
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], announced: Path, log_path: Path) -> None:
    """Wait for the proxy: at its first start the model is converted and measured, which takes its time."""
    deadline = time.monotonic() + START_S
    while not announced.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            log = log_path.read_text(encoding="utf-8", errors="replace").splitlines()
            raise SystemExit("\n".join(("the proxy did not start; its log ends:", *log[-20:])))
        time.sleep(0.05)


def command() -> list[str]:
    """The command line's program, as `KVPROXY_COMMAND` names it or as it is installed."""
    given = os.environ.get("KVPROXY_COMMAND")
    if given:
        return shlex.split(given)
    beside = str(Path(sys.executable).parent)
    found = shutil.which("kvproxy", path=beside) or shutil.which("kvproxy")
    if found is None:
        raise SystemExit(
            "no kvproxy is installed here: set KVPROXY_BASE_URL to a running proxy, or KVPROXY_COMMAND"
        )
    return [found]


@contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """SIGTERM ends the ``with`` blocks as Ctrl-C does, so that the proxy goes too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
