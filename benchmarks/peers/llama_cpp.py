"""llama.cpp's server, on a GGUF of the same weights, or of their quantised form."""

from __future__ import annotations

from benchmarks.peers.llama_build import BF16, VERSION, gguf, make_gguf, program
from benchmarks.peers.peer import Peer, Place
from benchmarks.prompts import Cold
from benchmarks.server import Launch

READERS = 8
CONTEXT = 8192


class LlamaCpp(Peer):
    cold = Cold.NO_CACHE
    ignore_eos = True

    def __init__(self, name: str = "llama.cpp", weights: str = BF16) -> None:
        self.name, self._weights = name, weights
        self.title = f"llama.cpp server {VERSION.partition('.')[0]}, {weights}"

    def install(self, place: Place) -> None:
        make_gguf(place, self._weights)

    def launch(self, place: Place, port: int) -> Launch:
        file = str(gguf(place, self._weights))
        command = [str(program(place, "llama-server")), "-m", file, "--alias", "model"]
        command += ["--host", "127.0.0.1", "--port", str(port), "-t", str(place.threads)]
        command += ["-np", str(READERS), "-c", str(READERS * CONTEXT), "--jinja"]
        return Launch(command, "model")
