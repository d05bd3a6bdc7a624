"""Compilation of the kernels into ``libkvproxy_kernels.so``: ``python -m kvproxy.engine.native.compile_library``.

Standard library only, and nothing of kvproxy: the build hook runs this file before the package is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

MODULE = "kvproxy.engine.native.compile_library"
KERNELS = Path(__file__).parent / "kernels"
LIBRARY = Path(__file__).parent / "libkvproxy_kernels.so"
ZIG = "ziglang==0.17.1"
"""As in constraints.txt: a test holds the two together."""
_ZIG_NAME = "zig c++ "
MARK = b"kvproxy kernels "
"""Before the digest of the sources and the name of the compiler in the library's file: see ``abi/library.cpp``."""

FLAGS = (
    *(
        "-O3",
        "-std=c++17",
        "-fPIC",
        "-fvisibility=hidden",
        "-fno-exceptions",
        "-fno-rtti",
        "-fno-math-errno",
        "-g0",
    ),
    # A product and a sum are one rounding only where the source says fma: compilers differ in what they join.
    "-ffp-contract=off",
)
LINKING = ("-Wl,--as-needed", "-Wl,-z,defs")
_AVX2 = ("-mavx2", "-mfma", "-mf16c")
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-mf16c")
_BF16 = (*_AVX512, "-mavx512bf16", "-mavx512vnni")
INSTRUCTION_SETS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "avx2": _AVX2,
        "avx512": _AVX512,
        "avx512bf16": _BF16,
        "amx": (*_BF16, "-mamx-tile", "-mamx-bf16"),
    },
    "aarch64": {"neon": (), "neonbf16": ("-march=armv8.6-a+bf16",)},
}
"""By processor: the units ``isa/NAME.cpp`` besides the portable one, each with its flags."""


class CompileError(Exception):
    """A compiler that failed, with what it said."""


class NoCompiler(CompileError):
    """No compiler at all; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C++ compiler as the beginning of its command line."""

    command: tuple[str, ...]
    name: str
    """Kept in the library: another compiler's library is not taken for one's own."""

    linking: tuple[str, ...] = ()

    def runs(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it with ``arguments``, whatever comes of it; what it keeps for later runs goes into ``folder``.

        Example: ``compiler.runs(folder, "-c", "unit.cpp", "-o", "unit.o")``
        """
        kept = {name: str(folder / "zig") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
        command = [*self.command, *arguments]
        return subprocess.run(
            command, env={**os.environ, **kept}, capture_output=True, text=True, check=False
        )

    def compiles(self, source: str, *flags: str) -> bool:
        """Whether it makes an object file of ``source`` with ``flags``."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "unit.cpp").write_text(source, encoding="utf-8")
            call = (*flags, "-c", str(folder / "unit.cpp"), "-o", str(folder / "unit.o"))
            try:
                return self.runs(folder, *call).returncode == 0
            except OSError:
                return False


def find_compiler(machine: str = platform.machine()) -> Compiler:
    """Return the first that works of ``$CXX``, ``c++``, ``g++``, ``clang++`` and the ``ziglang`` wheel."""
    for compiler in _candidates(machine):
        if compiler.compiles("#include <stdint.h>\n#include <string.h>\nint one() { return 1; }\n", *FLAGS):
            return compiler
    raise NoCompiler(
        "no C++ compiler was found: install g++ or clang++, or `pip install ziglang`, which brings one"
    )


def _candidates(machine: str) -> Iterator[Compiler]:
    if named := os.environ.get("CXX"):
        yield Compiler(tuple(shlex.split(named)), named)
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            yield Compiler((found,), name)
    if find_spec("ziglang"):
        yield zig_compiler(machine)


def zig_compiler(machine: str = platform.machine()) -> Compiler:
    """Return the ``ziglang`` wheel's, for a glibc that is older than any that torch runs on."""
    target = f"{machine}-linux-gnu.2.17"
    # Without a target it would compile for this very processor; it would also trap what C++ leaves undefined.
    command = (sys.executable, "-m", "ziglang", "c++", "-target", target, "-fno-sanitize=undefined")
    # Nothing of its C++ library is used, which it would compile first.
    return Compiler(command, f"{_ZIG_NAME}{target}", linking=("-nostdlib++",))


def requirements() -> list[str]:
    """Return what a build needs to be installed besides: ``ziglang`` where there is no compiler, nothing elsewhere."""
    machine = platform.machine()
    if machine not in INSTRUCTION_SETS or _is_current(LIBRARY):  # ziglang has no wheels for every processor
        return []
    try:
        find_compiler(machine)
    except CompileError:
        return [ZIG]
    return []


def source_digest(kernels: Path = KERNELS) -> str:
    """Return the sha256 of all sources, with their names and the flags."""
    digest = hashlib.sha256(repr((FLAGS, INSTRUCTION_SETS)).encode())
    for path in sorted(p for p in kernels.rglob("*") if p.suffix in {".h", ".inc", ".cpp"}):
        text = path.read_bytes()
        digest.update(f"{path.relative_to(kernels)} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def built_from(library: Path = LIBRARY) -> tuple[str, str] | None:
    """Return the digest of the sources that ``library`` was built from, and the compiler; None where there is none."""
    try:
        _, found, rest = library.read_bytes().partition(MARK)
    except FileNotFoundError:
        return None
    digest, _, name = rest[:400].split(b"\0", 1)[0].decode(errors="replace").partition(" ")
    return (digest, name) if found else None


def platform_tag(library: Path = LIBRARY) -> str:
    """Return the platform in the name of a wheel with ``library``: any Linux where zig compiled it, else this one's."""
    _, name = built_from(library) or ("", "")
    if not name.startswith(_ZIG_NAME):
        return sysconfig.get_platform().replace("-", "_")
    machine = name.removeprefix(_ZIG_NAME).split("-")[0]
    return f"manylinux2014_{machine}.manylinux_2_17_{machine}"


def compile_kernels(
    compiler: Compiler | None = None,
    *,
    library: Path = LIBRARY,
    machine: str = platform.machine(),
    only: Sequence[str] = (),
    jobs: int = 0,
) -> bool:
    """Compile where the sources are others than those of ``library``. Return whether anything was done.

    compiler: the machine's own by default, which need not be the one that compiled what is up to date. only: the
    instruction sets besides the portable one, all of ``machine`` by default.

    Example: ``compile_kernels(only=["avx512bf16"], jobs=1)``
    """
    if compiler is None and not only and _is_current(library):
        return False
    compiler = compiler or find_compiler(machine)
    name = " ".join((compiler.name, *(f"+{one}" for one in sorted(only))))
    digest = source_digest()
    if built_from(library) == (digest, name):
        return False
    defines = (f'-DKVP_SOURCE_DIGEST="{digest}"', f'-DKVP_BUILT_BY="{name}"')
    units = [(unit, [*flags, *defines]) for unit, flags in _units(compiler, machine, only)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        objects = [str(folder / f"{i}.o") for i in range(len(units))]
        with ThreadPoolExecutor(jobs or len(os.sched_getaffinity(0))) as pool:
            work = [
                pool.submit(_run, compiler, folder, *FLAGS, *flags, "-c", str(unit), "-o", out)
                for (unit, flags), out in zip(units, objects, strict=True)
            ]
            for one in work:
                one.result()
        # Written beside and renamed: a process that has the old library loaded keeps its file.
        linked = library.with_name(f".{library.name}.{os.getpid()}")
        try:
            _run(compiler, folder, "-shared", *compiler.linking, *LINKING, *objects, "-o", str(linked))
            linked.replace(library)
        finally:
            linked.unlink(missing_ok=True)
    return True


def _is_current(library: Path) -> bool:
    """Whether it is of these sources and has all instruction sets."""
    digest, name = built_from(library) or ("", "")
    return " +" not in name and digest == source_digest()


def _units(compiler: Compiler, machine: str, only: Sequence[str]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    every = {name for sets in INSTRUCTION_SETS.values() for name in sets}
    for unit in sorted(KERNELS.rglob("*.cpp")):
        if unit.parent.name != "isa" or unit.stem not in every:
            yield unit, ()
            continue
        flags = INSTRUCTION_SETS.get(machine, {}).get(unit.stem)
        if flags is None or (only and unit.stem not in only):
            continue
        header = "immintrin.h" if machine == "x86_64" else "arm_neon.h"
        if compiler.compiles(f"#include <{header}>\n", *FLAGS, *flags):
            yield unit, flags
        else:
            left_out = f"{compiler.name} does not know {' '.join(flags)}: {unit.stem} is left out"
            print(left_out, file=sys.stderr)


def _run(compiler: Compiler, folder: Path, *arguments: str) -> None:
    done = compiler.runs(folder, *arguments)
    if done.returncode:
        raise CompileError(f"{shlex.join([*compiler.command, *arguments])}\n{done.stderr}")


def main() -> int:
    """Return the exit status: 0 once the library is there."""
    parser = argparse.ArgumentParser(description="compile the engine's kernels")
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="NAME", help="instruction sets (default: all)"
    )
    parser.add_argument("--jobs", type=int, default=0, help="units at the same time (default: one a core)")
    parser.add_argument("--zig", action="store_true", help="with the ziglang wheel, whatever else there is")
    parser.add_argument("--if-possible", action="store_true", help="succeed without a compiler, too")
    options = parser.parse_args()
    try:
        done = compile_kernels(zig_compiler() if options.zig else None, only=options.only, jobs=options.jobs)
    except CompileError as e:
        print(e, file=sys.stderr)
        return 0 if options.if_possible and isinstance(e, NoCompiler) else 1
    print(f"{LIBRARY}: {'compiled' if done else 'up to date'}, {' '.join(built_from() or ())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
