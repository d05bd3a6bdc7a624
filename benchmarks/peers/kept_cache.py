"""The minimal server of `benchmarks/kept_cache.py`: transformers with a DynamicCache kept and copied per reader."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.peer import Peer, Place
from benchmarks.peers.transformers_env import VERSION, python
from benchmarks.prompts import Cold
from benchmarks.server import Launch

SERVER = Path(__file__).parent.parent / "kept_cache.py"


class KeptCache(Peer):
    name = "kept-cache"
    title = f"transformers {VERSION}, a kept DynamicCache"
    cold = Cold.CACHE_SALT
    ignore_eos = True

    def install(self, place: Place) -> None:
        python(place)

    def launch(self, place: Place, port: int) -> Launch:
        command = [str(python(place)), str(SERVER), str(place.model), "--port", str(port)]
        return Launch(command, "model", {"OMP_NUM_THREADS": str(place.threads), "HF_HUB_OFFLINE": "1"})
