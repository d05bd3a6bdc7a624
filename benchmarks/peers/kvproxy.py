"""kvproxy, as `kvproxy serve` starts it: every setting is the default."""

from __future__ import annotations

import importlib.util
import shutil
import sys

from benchmarks.peers.peer import Peer, Place
from benchmarks.prompts import Cold
from benchmarks.server import Launch, NotStarted


class Kvproxy(Peer):
    name = "kvproxy"
    title = "kvproxy"
    cold = Cold.CACHE_SALT
    ignore_eos = True

    def install(self, place: Place) -> None:
        """Install nothing: kvproxy is in the environment that measures, after ``make`` or ``pip install``."""
        if importlib.util.find_spec("kvproxy") is None or importlib.util.find_spec("litellm") is None:
            raise NotStarted("kvproxy is not installed in the environment that measures")

    def launch(self, place: Place, port: int) -> Launch:
        store = place.folder / "kvproxy-store"
        shutil.rmtree(store, ignore_errors=True)  # pages of an earlier run would make the start warm
        command = [sys.executable, "-m", "kvproxy", "serve", "--model", str(place.model)]
        command += ["--port", str(port), "--store", str(store)]
        env = {"OMP_NUM_THREADS": str(place.threads)}
        # Pages kept without a key are read with every key: cold readers would find the template's first tokens.
        probe = {self.cold.value: "probe"}
        return Launch(command, place.model.name.lower(), env, probe, own_python=False)
