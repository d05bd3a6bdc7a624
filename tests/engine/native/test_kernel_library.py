"""The library of this process: its choice of instructions, its checks, and torch's team of threads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.engine.native import compile_library, kernel_library, signatures
from kvproxy.engine.native.kernel_library import CHOICE, Kernels, NoKernels, load_kernels
from kvproxy.errors import SetupError


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loading as in a new process, before and afterwards."""
    kernel_library._open.cache_clear()
    yield
    monkeypatch.undo()
    kernel_library._open.cache_clear()


def test_the_best_set_is_in_use_and_torch_lends_its_threads(kernels: Kernels) -> None:
    assert kernels.available[-1] == "portable"
    assert kernels.instructions in kernels.available
    assert kernels.team
    assert len(kernels.digest) == 64
    assert load_kernels() == kernels


def test_importing_loads_no_library_and_no_torch() -> None:
    code = (
        "import kvproxy.engine.native.kernel_library as k, sys\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'libkvproxy' not in open('/proc/self/maps').read()\n"
        "found = k.load_kernels()\n"
        "assert isinstance(found, k.NoKernels) or not found.team\n"
        "import torch\n"
        "found = k.load_kernels()\n"
        "assert isinstance(found, k.NoKernels) or found.team\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def in_process(choice: str) -> str:
    code = (
        "from kvproxy.engine.native.kernel_library import load_kernels\n"
        "from kvproxy.errors import SetupError\n"
        "try: print(load_kernels().instructions)\n"
        "except SetupError as e: print(e)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={CHOICE: choice}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_environment_names_a_set(kernels: Kernels) -> None:
    assert in_process("portable") == "portable"
    assert in_process("") == kernels.available[0]


def test_a_set_that_is_not_here_is_refused_with_those_that_are(kernels: Kernels) -> None:
    assert in_process("sse9") == (
        f"{CHOICE}=sse9: no instruction set is called sse9; this machine can use {', '.join(kernels.available)}"
    )
    foreign = "avx2" if "neon" in kernels.available else "neon"
    assert f"{CHOICE}={foreign}: {foreign} was not built; this machine can use" in in_process(foreign)


def test_no_library_is_no_error(tmp_path: Path) -> None:
    absent = kernel_library._open(tmp_path / "none.so")
    assert isinstance(absent, NoKernels)
    assert "not compiled" in absent.reason
    assert "python" in absent.advice and compile_library.MODULE in absent.advice


def test_another_library_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    library = tmp_path / "x.so"
    library.write_bytes(f"kvproxy kernels {'0' * 64} g++\0".encode())
    stale = kernel_library._open(library)
    assert isinstance(stale, NoKernels) and "other sources" in stale.reason
    kernel_library._open.cache_clear()
    monkeypatch.setattr(compile_library, "KERNELS", tmp_path / "installed without sources")
    broken = kernel_library._open(library)
    assert isinstance(broken, NoKernels) and "cannot be loaded" in broken.reason


def test_another_version_is_not_called(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    monkeypatch.setattr(signatures, "ABI", 0)
    found = load_kernels()
    assert isinstance(found, NoKernels) and "another version" in found.reason


def test_setup_errors_come_every_time(kernels: Kernels, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setenv(CHOICE, "sse9")
    for _ in range(2):
        with pytest.raises(SetupError):
            load_kernels()
