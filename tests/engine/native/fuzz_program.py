"""The fuzz program of ``programs/``, compiled together with the kernels: with sanitizers, or for another processor."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvproxy.engine.native.compile_library import FLAGS, INSTRUCTION_SETS, KERNELS

PROGRAMS = Path(__file__).parent / "programs"
AREAS = ("product", "quantised", "attention", "decoder", "frames", "hostile", "team")
_OWN = ("-std=c++17", "-fno-exceptions", "-fno-rtti")
CROSS_COMPILER = "aarch64-linux-gnu-g++"
SANITIZERS = ("-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


@dataclass(frozen=True, slots=True)
class FuzzBuild:
    """One way to compile the program."""

    compiler: str
    sets: Sequence[str]
    """Instruction sets besides the portable one. ``amx`` is computed by plain C++, on a machine with AVX512_BF16."""
    machine: str = platform.machine()
    sanitize: str = ""
    """As ``-fsanitize`` takes it; empty: none."""
    optimise: str = "-O0"
    """With sanitizers, compiling takes g++ minutes from -O1 on."""
    static: bool = False

    def make(self, folder: Path) -> Path:
        """Compile and link in ``folder``; the program's path."""
        every = {name for sets in INSTRUCTION_SETS.values() for name in sets}
        flags = (*_kernel_flags(), self.optimise)
        if "amx" in self.sets:
            flags += ("-DKVP_AMX_EMULATED",)
        if self.sanitize:
            flags += (f"-fsanitize={self.sanitize}", *SANITIZERS)
        units: list[tuple[Path, tuple[str, ...]]] = []
        for unit in sorted(KERNELS.rglob("*.cpp")):
            if unit.parent.name != "isa" or unit.stem not in every:
                units.append((unit, ()))
            elif unit.stem in self.sets:
                units.append((unit, INSTRUCTION_SETS[self.machine][unit.stem]))
        units += [(unit, ()) for unit in sorted(PROGRAMS.glob("*.cpp"))]
        objects = []
        for i, (unit, more) in enumerate(units):
            objects.append(str(folder / f"{i}.o"))
            include = ("-I", str(KERNELS), "-I", str(PROGRAMS))
            self._run(*flags, *more, *include, "-c", str(unit), "-o", objects[-1])
        program = folder / "fuzz"
        sanitizer = (f"-fsanitize={self.sanitize}",) if self.sanitize else ()
        self._run(
            *sanitizer, *(("-static",) if self.static else ()), *objects, "-lpthread", "-o", str(program)
        )
        return program

    def _run(self, *arguments: str) -> None:
        done = subprocess.run([self.compiler, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{self.compiler} {' '.join(arguments)}\n{done.stderr}"


def _kernel_flags() -> tuple[str, ...]:
    return tuple(flag for flag in FLAGS if flag not in {"-O3", "-fPIC"})


def own_compiler() -> str | None:
    """Return a C++ compiler with sanitizers; the ``ziglang`` wheel's has none."""
    return next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)


def run_fuzz(
    command: Sequence[str], area: str, rounds: int, *, seed: int = 1, sets: Sequence[str] = ()
) -> str:
    """Run ``rounds`` rounds of an area and return what the program printed; fails with it where it found something.

    Example: ``run_fuzz([str(program)], "product", 20, sets=["portable"])``
    """
    arguments = [*command, area, str(rounds), str(seed), *sets]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
