"""transformers' own server, with continuous batching: its pages are shared between requests."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Place
from benchmarks.peers.transformers_env import VERSION, python
from benchmarks.prompts import Cold
from benchmarks.server import Launch

MEMORY = 0.2
"""A share of all memory that its own process has not taken yet."""


class TransformersServe(Peer):
    name = "transformers-serve"
    title = f"transformers serve {VERSION}, continuous batching"
    cold = Cold.SALT_LINE  # it refuses fields that it doesn't know

    def install(self, place: Place) -> None:
        python(place)

    def launch(self, place: Place, port: int) -> Launch:
        command = [str(python(place).with_name("transformers")), "serve", str(place.model)]
        # By default it takes 60 % or more for its pages; vLLM gets a fixed share too.
        command += ["--continuous-batching", "--cb-max-memory-percent", str(MEMORY)]
        command += ["--dtype", "bfloat16", "--device", "cpu"]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        env = {"OMP_NUM_THREADS": str(place.threads), "HF_HUB_OFFLINE": "1"}
        return Launch(command, str(place.model), env)
