"""Fuzz of the kernels under AddressSanitizer and UndefinedBehaviorSanitizer, and of the team under ThreadSanitizer.

The fast tests compile the portable kernels alone; the slow ones every instruction set of this machine.
"""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from kvproxy.engine.native.compile_library import INSTRUCTION_SETS
from tests.engine.native.fuzz_program import AREAS, FuzzBuild, own_compiler, run_fuzz

ADDRESS = "address,undefined"


def _compiler() -> str:
    found = own_compiler()
    if found is None:
        pytest.skip("no C++ compiler with sanitizers is installed: g++ or clang++")
    return found


def _sets_here() -> list[str]:
    """Return the instruction sets that this machine runs, by Linux's names for them; AMX is emulated."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    needed = {
        "avx2": {"avx2", "fma", "f16c"},
        "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq"},
        "avx512bf16": {"avx512_bf16", "avx512_vnni"},
        "amx": {"avx512_bf16", "avx512_vnni"},
        "neon": {"asimd"},
        "neonbf16": {"bf16"},
    }
    return [name for name in INSTRUCTION_SETS.get(platform.machine(), {}) if needed.get(name, {"?"}) <= flags]


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    build = FuzzBuild(_compiler(), (), sanitize=ADDRESS)
    return [str(build.make(tmp_path_factory.mktemp("fuzz")))]


@pytest.mark.parametrize("area", AREAS)
def test_kernels_keep_to_their_memory(area: str, portable: list[str]) -> None:
    run_fuzz(portable, area, 3, sets=["portable"])


@pytest.mark.slow
def test_each_instruction_set_keeps_to_its_memory(tmp_path: Path) -> None:
    sets = _sets_here()
    program = str(FuzzBuild(_compiler(), sets, sanitize=ADDRESS).make(tmp_path))
    for name in ("portable", *sets):
        for area in AREAS:
            run_fuzz([program], area, 20, sets=[name], seed=1000)


@pytest.mark.timeout(900)  # compiles, and runs some twenty times slower than it would without the sanitizer
@pytest.mark.slow
def test_the_team_has_no_races(tmp_path: Path) -> None:
    program = str(FuzzBuild(_compiler(), (), sanitize="thread").make(tmp_path))
    for area in ("team", "product", "attention", "decoder"):
        run_fuzz([program], area, 20, sets=["portable"])
