"""Fake replicas in processes of their own, and the configuration of a proxy before them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from kvproxy.fake_replica.fake_generation import AnswerCuts, answer_after
from kvproxy.fake_replica.replica_text import ModelText
from tests.e2e.served import Served

FLEET = "smol-fleet"
"""The fleet's model, as requests name it."""
SERVED = "smol"
"""The model's name at the replicas."""
BLOCK = 16


class FakeReplicaProcess:
    """One fake replica, which can be killed and started again at the same address."""

    def __init__(self, name: str, model: Path, arguments: tuple[str, ...] = ()) -> None:
        """``model``: a folder with tokenizer and template; ``arguments``: further ones of its command line."""
        self.name = name
        self._command = [sys.executable, "-m", "kvproxy.fake_replica", "--tokenizer", str(model)]
        self._command += ["--model", SERVED, "--block-size", str(BLOCK), "--blocks", "4096", *arguments]
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Return once it serves."""
        self._process = subprocess.Popen([*self._command, "--port", str(self._port)], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the fake replica {self.name} did not start"
        self.url = json.loads(line)["url"]
        self._port = int(self.url.rpartition(":")[2])

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None

    def kill(self) -> None:
        """End it as kill -9 does, and see that it has ended."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator would."""
        self._end(signal.SIGTERM)

    def set(self, **faults: Any) -> dict[str, Any]:
        """Set faults, or do what the names of actions say."""
        told: dict[str, Any] = self._post("/fake/faults", faults)
        return told

    @property
    def state(self) -> dict[str, Any]:
        """Its blocks, and the requests that it was sent."""
        answer = httpx.get(f"{self.url}/fake/state", trust_env=False, timeout=60)
        told: dict[str, Any] = answer.raise_for_status().json()
        return told

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The generations that it was asked for, the oldest first."""
        found: list[dict[str, Any]] = self.state["requests"]
        return found

    def reset_cache(self) -> None:
        """Empty its cache; its event leaves with the next request."""
        assert self._post("/reset_prefix_cache", {}) == {"success": True}

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = httpx.post(f"{self.url}{path}", json=dict(body), trust_env=False, timeout=60)
        return answer.raise_for_status().json()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(60)
            assert process.stdout is not None
            process.stdout.close()


class FakeFleet:
    """``with FakeFleet(model, "one", "two") as fleet``: replicas by name, until the block ends."""

    def __init__(self, model: Path, *names: str, arguments: tuple[str, ...] = ()) -> None:
        self.model = model
        self.replicas = {name: FakeReplicaProcess(name, model, arguments) for name in names}

    def __enter__(self) -> Self:
        try:
            for replica in self.replicas.values():
                replica.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for replica in self.replicas.values():
            replica.kill()

    def __getitem__(self, name: str) -> FakeReplicaProcess:
        return self.replicas[name]

    def start_again(self) -> None:
        """Start the replicas that were killed."""
        for replica in self.replicas.values():
            if not replica.running:
                replica.start()

    def set(self, **faults: Any) -> None:
        """Set faults at every replica."""
        for replica in self.replicas.values():
            replica.set(**faults)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The generations that any of them was asked for."""
        return [one for replica in self.replicas.values() for one in replica.requests]

    def config(self, **fields: Any) -> dict[str, Any]:
        """Return the fleet's entry under ``fleets``."""
        replicas = [{"name": name, "url": replica.url} for name, replica in self.replicas.items()]
        return {"name": FLEET, "model": str(self.model), "replicas": replicas, **fields}

    def said(self, request: Mapping[str, Any], text: ModelText, **cuts: Any) -> str:
        """Return what any replica says to one of ``requests`` that nothing was planned for."""
        limits = AnswerCuts(max_tokens=request["max_tokens"], **cuts)
        return answer_after(request["prompt"], limits, text).text


@contextmanager
def served_fleet(
    folder: Path, model: Path, *names: str, arguments: tuple[str, ...] = (), **config: Any
) -> Iterator[tuple[FakeFleet, Served]]:
    """Fake replicas and a proxy that has nothing but their fleet. ``config``: further sections of config.yaml, and of
    the fleet's own under ``fleet``."""
    fleet_fields = config.pop("fleet", {})
    with FakeFleet(model, *names, arguments=arguments) as fleet:
        whole = {"fleets": [fleet.config(**fleet_fields)], **config}
        with Served(folder, None, whole) as proxy:
            yield fleet, proxy
