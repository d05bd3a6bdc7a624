"""``kvproxy bench restart``: from the start of the process to the first hit on a document that it has on disk."""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from kvproxy.bench.machine import machine
from kvproxy.bench.server_process import Child, announced
from kvproxy.client import Client
from kvproxy.config import Config

DOCUMENT = "handbook"
QUESTION = "\n\nWhat is this about?"
_MODEL = re.compile(r": loaded in ([0-9.]+) s")
_LITELLM = re.compile(r"litellm is imported, in ([0-9.]+) s")
IMPORT_S = 60.0


def bench_restart(
    config: Config, *, text: str, repeats: int = 3, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Publish ``text``, then stop and start the proxy ``repeats`` times, asking as soon as it listens. Seconds.

    ``first_hit``: from the request to its first token, its pages read from disk; ``second_hit``: the same once they are
    in memory. The system's cache has the files: a restart does not empty it.

    Example: ``bench_restart(config, text=text, repeats=1)``
    """
    with tempfile.TemporaryDirectory(prefix="kvproxy-bench-") as scratch:
        folder = Path(scratch)
        file = _written(config, folder)
        with _started(folder, file) as child, Client(child.url) as client:
            tokens = client.publish(DOCUMENT, text)["info"]["tokens"]
        rows = []
        for done in range(repeats):
            rows.append(_restart(folder, file, config.model.served_name, text))
            if progress is not None:
                progress(done + 1, repeats)
    return {
        "machine": machine(),
        "model": config.model.path,
        "document_tokens": tokens,
        "rows": rows,
        "median": {name: statistics.median(row[name] for row in rows) for name in rows[0]},
    }


def _written(config: Config, folder: Path) -> Path:
    settings: Mapping[str, Any] = {
        "server": {"port": 0},
        "model": {"path": config.model.path, "name": config.model.served_name, "dtype": config.model.dtype},
        "store": {"path": str(folder / "store")},
        "documents": {"framings": [{"place": "system"}]},
    }
    file = folder / "kvproxy.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def _started(folder: Path, config: Path) -> Child:
    url = folder / "kvproxy.url"
    url.unlink(missing_ok=True)
    command = (sys.executable, "-m", "kvproxy", "serve", "--config", str(config), "--announce-file", str(url))
    return Child("kvproxy", command, announced(url), folder)


def _restart(folder: Path, config: Path, model: str, text: str) -> dict[str, float]:
    began = time.perf_counter()
    with _started(folder, config) as child:
        listening = time.perf_counter() - began
        first, second = (_first_token(child.url, model, text) for _ in range(2))
        model_load, litellm_import = _told(folder / "kvproxy.log")
    return {
        "model_load": model_load,
        "listening": listening,
        "first_hit": first,
        "second_hit": second,
        "start_to_first_hit": listening + first,
        "litellm_import": litellm_import,
    }


def _told(log: Path) -> tuple[float, float]:
    """Wait until the log says how long loading the model and importing litellm took, and return both."""
    until = time.monotonic() + IMPORT_S
    while True:
        seconds = seconds_in(log.read_text(encoding="utf-8"))
        if seconds is not None:
            return seconds
        if time.monotonic() > until:
            raise RuntimeError("the log does not say how long the model and litellm took")
        time.sleep(0.1)


def seconds_in(log: str) -> tuple[float, float] | None:
    """Return the seconds that a log names for the model and for litellm; None before it has both.

    Example: ``seconds_in("a: loaded in 1.20 s\\nlitellm is imported, in 2.50 s") == (1.2, 2.5)``
    """
    model, litellm = _MODEL.search(log), _LITELLM.search(log)
    return None if model is None or litellm is None else (float(model[1]), float(litellm[1]))


def has_text(line: str) -> bool:
    """Return whether a line of a stream brings text of the answer.

    Example: ``has_text('data: {"choices": [{"delta": {"content": "A"}}]}')``
    """
    if not line.startswith("data: {"):
        return False
    choices = json.loads(line.removeprefix("data: ")).get("choices") or [{}]
    return bool(choices[0].get("delta", {}).get("content"))


def _first_token(url: str, model: str, text: str) -> float:
    """Return the seconds to the first token of an answer that takes the document from its pages."""
    body = {
        "model": model,
        "messages": [{"role": "system", "content": text}, {"role": "user", "content": QUESTION}],
        "max_tokens": 4,
        "temperature": 0,
        "stream": True,
    }
    began = time.perf_counter()
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=600) as answer:
        status = answer.headers.get("cache-status", "")
        if answer.status_code != 200 or "hit" not in status:
            raise RuntimeError(f"no hit after the restart: {answer.status_code}, {status or answer.read()!r}")
        for line in answer.iter_lines():
            if has_text(line):
                return time.perf_counter() - began
    raise RuntimeError("the answer has no token")
