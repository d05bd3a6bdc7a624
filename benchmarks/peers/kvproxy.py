"""kvproxy, as `kvproxy serve` starts it: every setting is the default."""

from __future__ import annotations

import importlib.util
import shutil
import sys

from benchmarks.peers.llama_build import BF16, gguf, make_gguf
from benchmarks.peers.peer import Peer, Place
from benchmarks.prompts import Cold
from benchmarks.server import Launch, NotStarted


class Kvproxy(Peer):
    """On the model's folder, or on the very GGUF that llama.cpp serves with these ``weights``."""

    cold = Cold.CACHE_SALT
    ignore_eos = True

    def __init__(self, name: str = "kvproxy", weights: str = BF16) -> None:
        self.name, self._weights = name, weights
        self.title = "kvproxy" if weights == BF16 else f"kvproxy, {weights}"

    def install(self, place: Place) -> None:
        """Install nothing of kvproxy: it is in the environment that measures, after ``make`` or ``pip install``."""
        if importlib.util.find_spec("kvproxy") is None or importlib.util.find_spec("litellm") is None:
            raise NotStarted("kvproxy is not installed in the environment that measures")
        if self._weights != BF16:
            make_gguf(place, self._weights)

    def launch(self, place: Place, port: int) -> Launch:
        store = place.folder / f"{self.name}-store"
        shutil.rmtree(store, ignore_errors=True)  # pages of an earlier run would make the start warm
        model = place.model if self._weights == BF16 else gguf(place, self._weights)
        command = [sys.executable, "-m", "kvproxy", "serve", "--model", str(model)]
        command += ["--port", str(port), "--store", str(store)]
        env = {"OMP_NUM_THREADS": str(place.threads)}
        # Pages kept without a key are read with every key: cold readers would find the template's first tokens.
        probe = {self.cold.value: "probe"}
        return Launch(command, model.name.lower().removesuffix(".gguf"), env, probe, own_python=False)
