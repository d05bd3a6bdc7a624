"""The same fuzz on processors that this machine emulates: aarch64, and x86-64 without AVX-512."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import pytest

from tests.engine.native.fuzz_program import AREAS, CROSS_COMPILER, FuzzBuild, own_compiler, run_fuzz

pytestmark = pytest.mark.slow


def _needs(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)}: not installed (Debian: g++-aarch64-linux-gnu, qemu-user)")


def test_aarch64_computes_the_same_bits_in_every_shape(tmp_path: Path) -> None:
    _needs(CROSS_COMPILER, "qemu-aarch64")
    build = FuzzBuild(CROSS_COMPILER, ("neon", "neonbf16"), machine="aarch64", optimise="-O2", static=True)
    program = str(build.make(tmp_path))
    for name in ("neon", "neonbf16", "portable"):
        for area in AREAS:
            run_fuzz(["qemu-aarch64", "-cpu", "max", program], area, 10, sets=[name])


def test_a_processor_without_avx512_takes_avx2(tmp_path: Path) -> None:
    _needs("qemu-x86_64")
    compiler = own_compiler()
    if platform.machine() != "x86_64" or compiler is None:
        pytest.skip("needs a C++ compiler for x86-64")
    program = str(FuzzBuild(compiler, ("avx2",), optimise="-O2", static=True).make(tmp_path))
    for area in AREAS:
        said = run_fuzz(["qemu-x86_64", "-cpu", "Haswell", program], area, 10)
        assert [line.split()[0] for line in said.splitlines()] == ["avx2", "portable"]
